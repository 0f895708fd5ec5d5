"""The settings of scoring: `config.score`."""

import dataclasses

from datadiet.scoring import registry
from datadiet.scoring.precision import AUTO, PRECISIONS
from datadiet.settings import checks, setting


@dataclasses.dataclass(frozen=True)
class GradientSettings:
  """What the gradient pass gives."""

  grand_subset: str = setting(
    '',
    checks.pattern,
    'For the score grand_subset, what is searched for in the paths of params, '
    "such as 'Conv_0' or 'Dense'.",
  )
  per_layer: bool = setting(
    False, checks.boolean, 'Keep the gradient norm in every layer too.'
  )
  unclog_sample_size: int = setting(
    1000,
    checks.integer(1),
    'Examples, class-balanced, whose mean gradient unclog subtracts.',
  )
  unclog_seed: int = setting(
    0, checks.integer(), 'The seed that the sample of unclog is drawn by.'
  )


@dataclasses.dataclass(frozen=True)
class ScoreSettings(GradientSettings):
  """Which scores of which networks, and how they are computed."""

  names: tuple[str, ...] = setting(
    ('el2n', 'grand', 'forgetting', 'aum', 'input_norm'),
    checks.each(
      checks.one_of(registry.SCORES, registry.ALIASES), at_least_one=True
    ),
    'The scores.',
  )
  steps: tuple[int, ...] = setting(
    (),
    checks.each(checks.integer()),
    'The steps whose networks score; () for the last step alone.',
  )
  batch_size: int = setting(
    1024, checks.integer(1), 'Images a batch; at most 128 a device on CPU.'
  )
  gradient_batch_size: int = setting(
    0,
    checks.integer(0, words='a number of images, 0 to fit'),
    "Images a batch of gradient scores; 0 to fit the device's memory.",
  )
  gradient_runs: int = setting(
    0,
    checks.integer(0, words='an integer of runs, 0 for all'),
    'Gradient scores of the first so many runs only; 0 for all.',
  )
  dtype: str = setting(
    AUTO,
    checks.one_of((AUTO, *PRECISIONS)),
    "What scores compute in, whatever training did: 'float32', which GPUs and "
    "TPUs are kept from rounding; faster there, 'bfloat16_3x' (three products "
    "of bfloat16, close to float32), 'tensorfloat32' and 'bfloat16'. 'auto' "
    'for bfloat16_3x on TPUs and float32 elsewhere; a workdir keeps what it '
    'was begun with.',
  )
  keep: tuple[str, ...] = setting(
    (),
    checks.each(checks.one_of(('features', 'pred_probs'))),
    "Beside scores, keep 'features' or 'pred_probs' of every run.",
  )
