"""What a training needs to know, resolved from the config by the stages."""

import dataclasses
from typing import Any

from datadiet.training.dynamics import DynamicsSettings
from datadiet.training.optimizer import OptimizerSettings


@dataclasses.dataclass(frozen=True)
class TrainSettings:
  """Settings of one training, the same for all its runs.

  Attributes:
    model: a key of `MODELS`.
    width: of the model; 0 for its own.
    dtype: compute type, 'float32' or 'bfloat16'.
    optimizer: how parameters are updated.
    num_steps: optimizer steps.
    batch_size: examples a step.
    eval_batch_size: examples a test batch.
    augmentation: a key of `AUGMENTATIONS`.
    crop_padding: pixels by which crops may shift.
    model_seed: of the initialisation, combined with the run's number.
    data_seed: of order and augmentation, combined with the run's number.
    log_every_steps: between rows of the history.
    eval_every_steps: between evaluations on the test split.
    checkpoint_every_steps: between full states.
    keep_steps: steps whose networks and dynamics are kept, to be scored.
    steps_per_call: steps a dispatch; 1 on CPU, where loops are slow.
    placement: of the data, 'auto', 'device' or 'host'.
    dynamics: what is recorded of the examples beside the basics.
    init_from: folder of a checkpoint whose network every run starts from; ''
      for new networks.
    uses_losses: whether the epochs of the jobs go by losses.
  """

  model: str
  width: int
  dtype: str
  optimizer: OptimizerSettings
  num_steps: int
  batch_size: int
  eval_batch_size: int
  augmentation: str
  crop_padding: int
  model_seed: int
  data_seed: int
  log_every_steps: int
  eval_every_steps: int
  checkpoint_every_steps: int
  keep_steps: tuple[int, ...]
  steps_per_call: int = 1
  placement: str = 'auto'
  dynamics: DynamicsSettings = DynamicsSettings()
  init_from: str = ''
  uses_losses: bool = False

  def statement(self) -> dict[str, Any]:
    """What a manifest says of them."""
    names = [recorder.name for recorder in self.dynamics.recorders]
    return {
      **dataclasses.asdict(self),
      'dynamics': {'window': self.dynamics.window, 'recorders': names},
    }

  def next_event(self, step: int) -> int:
    """The first step after `step` at which something is due."""
    due = [self.num_steps]
    for every in (
      self.log_every_steps,
      self.eval_every_steps,
      self.checkpoint_every_steps,
    ):
      due.append((step // every + 1) * every)
    due.extend(kept for kept in self.keep_steps if kept > step)
    return min(due)

  def steps_until_event(self, step: int) -> int:
    """How many steps the next call trains, from `step` on."""
    return min(self.steps_per_call, self.next_event(step) - step)

  def is_log_step(self, step: int) -> bool:
    """Whether the history gets a row."""
    return step % self.log_every_steps == 0 or self.is_eval_step(step)

  def is_eval_step(self, step: int) -> bool:
    """Whether the test split is evaluated."""
    return step % self.eval_every_steps == 0 or step == self.num_steps

  def is_checkpoint_step(self, step: int) -> bool:
    """Whether the full state is saved."""
    return (
      step % self.checkpoint_every_steps == 0
      or step in self.keep_steps
      or step == self.num_steps
    )
