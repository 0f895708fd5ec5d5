"""The settings of training and retraining: `config.train`, `config.retrain`.

Those of the optimizer are beside its schedules.
"""

import dataclasses

from datadiet.feeding.augmentation import AUGMENTATIONS, Augmentation
from datadiet.settings import checks, setting

# What imported predictions are; '' where networks are trained here. With BOTH,
# scores are of networks that trained on the example.
IN_SAMPLE, OUT_OF_SAMPLE = 'in-sample', 'out-of-sample'
BOTH = 'in-sample and out-of-sample'


@dataclasses.dataclass(frozen=True)
class TrainSettings:
  """How the networks that score are trained."""

  num_runs: int = setting(
    10, checks.integer(1), 'Independent networks to train.'
  )
  num_steps: int = setting(
    7_800,
    checks.integer(1),
    'Optimizer steps that networks are trained, to be scored.',
  )
  num_epochs: int = setting(
    0,
    checks.integer(0, words='an integer of epochs, 0 for num_steps'),
    'train.num_steps in epochs, if not 0.',
  )
  schedule_steps: int = setting(
    78_000,
    checks.integer(0, words='an integer of steps, 0 for num_steps'),
    "The learning rate's horizon; training may stop before it. 0 for "
    'num_steps.',
  )
  batch_size: int = setting(128, checks.integer(1), 'Images a step.')
  eval_batch_size: int = setting(
    1024,
    checks.integer(1),
    'Images a batch of an evaluation; at most 128 a device on CPU, where a '
    'stop waits for the current batch.',
    free=True,
  )
  augmentation: str = setting(
    'crop_flip',
    checks.one_of(AUGMENTATIONS),
    "How images vary in training. 'resized_crop_flip' and 'photo_crop_flip' "
    'cut random rectangles out and resize them: of the pixels that are kept, '
    'and of the files themselves as they are decoded.',
  )
  crop_padding: int = setting(
    4, checks.integer(), 'Pixels by which crops may shift.'
  )
  min_crop_area: float = setting(
    0.08,
    checks.fraction,
    "For 'resized_crop_flip' and 'photo_crop_flip', the smallest share of an "
    'image that is cut out.',
  )
  color_jitter: float = setting(
    0.0,
    checks.share,
    'By how much brightness, contrast and saturation vary in training; 0 for '
    'not at all. Of colour images.',
  )
  label_smoothing: float = setting(
    0.0,
    checks.number(0.0, 0.99),
    'Share of the label that is spread over all classes in the loss that is '
    'minimised; scores, recorded losses and GraNd are of the plain one.',
  )
  trainable: str = setting(
    'all',
    checks.pattern,
    "What is trained: 'all' parameters, the 'head', which is the last layer, "
    'or those in whose paths a regular expression is found, such as '
    "'BasicBlock_7|Dense'. Batch norm outside keeps its running statistics, "
    'and GraNd is of this part.',
  )
  model_seed: int = setting(
    0, checks.integer(), 'The seed of initial parameters; the run is mixed in.'
  )
  data_seed: int = setting(
    0,
    checks.integer(),
    'The seed of order and augmentation; the run is mixed in.',
  )
  log_every_steps: int = setting(
    100,
    checks.integer(1),
    'Steps between rows of the history.',
    free=True,
  )
  eval_every_steps: int = setting(
    1_950,
    checks.integer(1),
    'Steps between evaluations on the test split.',
    free=True,
  )
  checkpoint_every_steps: int = setting(
    1_950,
    checks.integer(1),
    'Steps between checkpoints to resume from.',
    free=True,
  )
  early_steps: tuple[int, ...] = setting(
    (), checks.each(checks.integer()), 'More steps whose networks are kept.'
  )
  early_every: int = setting(
    0,
    checks.integer(0, words='an integer of steps, 0 for none'),
    'Steps between networks that are kept, up to train.early_until.',
  )
  early_until: int = setting(
    0,
    checks.integer(0, words='an integer of steps, 0 for the last'),
    'The last step for train.early_every; 0 for the last of training.',
  )
  init_from: str = setting(
    '',
    checks.text,
    'A checkpoint to start from, such as DIR/train/run_00/checkpoints/390: its '
    "params and batch_stats, with a new optimizer; '' for a new network.",
    path=True,
  )
  subset_path: str = setting(
    '',
    checks.text,
    'Train on these examples only: a .npy of example_index, or the folder of a '
    "selection; '' for all.",
    path=True,
  )
  subset_fraction: float = setting(
    1.0,
    checks.fraction,
    'Train each run on a random subset of this size, to see what it says of '
    'the other examples; every example is in and out of at least one run.',
  )
  folds: int = setting(
    0,
    checks.folds,
    'Cross-validation: each run leaves out one of so many folds, and every '
    'example is scored and audited by networks that did not train on it; '
    'train.num_runs is a multiple. 0 for none.',
  )
  imported: str = setting(
    '',
    checks.one_of(('', IN_SAMPLE, OUT_OF_SAMPLE, BOTH)),
    'Set by `datadiet import`: what the predictions are, of networks that were '
    'trained elsewhere, so that nothing is trained or scored here.',
  )
  dynamics_window: int = setting(
    10, checks.integer(2), 'Visits in a window of dual, dyn_unc and tdds.'
  )
  profile_steps: tuple[int, ...] = setting(
    (),
    checks.span,
    'Record what host and devices do from one step to another, such as (100, '
    '120), for TensorBoard or Perfetto, in the folder profile of the first run '
    'of the train stage that is not finished.',
    free=True,
  )
  runs_at_once: int = setting(
    0,
    checks.integer(),
    'Runs that train side by side; 0 to fit the devices.',
    free=True,
  )
  steps_per_call: int = setting(
    0,
    checks.integer(),
    'Steps per dispatch; 0 for 1 on CPU, 10 on TPUs and 10 to 50 on GPUs.',
    free=True,
  )

  @property
  def leaves_out(self) -> bool:
    """Whether every example is left out by some runs and seen by others."""
    return self.folds > 0 or self.subset_fraction < 1.0

  @property
  def predicts_unseen(self) -> bool:
    """Whether networks predict examples that they did not train on."""
    return self.leaves_out or self.imported in (OUT_OF_SAMPLE, BOTH)


def augmentation_of(settings: TrainSettings, crop_size: int) -> Augmentation:
  """How a training varies images, of which networks see `crop_size` pixels."""
  return Augmentation(
    settings.augmentation,
    padding=settings.crop_padding,
    size=crop_size,
    min_area=settings.min_crop_area,
    jitter=settings.color_jitter,
  )


@dataclasses.dataclass(frozen=True)
class RetrainSettings:
  """How networks are trained on what was selected."""

  num_runs: int = setting(
    4,
    checks.integer(1),
    'Networks to train on each selection.',
    free=True,
  )
  num_steps: int = setting(
    0,
    checks.integer(0, words='an integer of steps, 0 for the horizon'),
    "Optimizer steps; 0 for the schedule's horizon, whatever the size of the "
    'subset.',
  )
  full: bool = setting(
    True,
    checks.boolean,
    'Retrain on everything too, where the train runs cannot be compared.',
    free=True,
  )
  first_run: int = setting(
    1000,
    checks.integer(),
    'Added to run numbers, so that no scoring network is trained again.',
  )
