"""Learning-rate schedules and optimizers, through optax."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import optax

from datadiet.settings import check_options, checks, setting


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
  """How parameters are updated: `config.optimizer`."""

  name: str = setting(
    'sgd', checks.one_of(lambda: OPTIMIZERS), 'The optimizer.'
  )
  learning_rate: float = setting(
    0.1, checks.positive, 'The learning rate at its peak.'
  )
  momentum: float = setting(0.9, checks.share, 'The momentum of SGD.')
  nesterov: bool = setting(
    True, checks.boolean, "Whether SGD's momentum is Nesterov's."
  )
  weight_decay: float = setting(
    5e-4,
    checks.not_negative,
    "For 'sgd' added to the gradient of every parameter before momentum (L2), "
    "as in the paper; for 'adamw' decoupled.",
  )
  schedule: str = setting(
    'piecewise',
    checks.one_of(lambda: SCHEDULES),
    'The shape of the learning rate over the horizon train.schedule_steps.',
  )
  decay_fractions: tuple[float, ...] = setting(
    (0.3, 0.6, 0.8),
    checks.each(checks.fraction),
    "For 'piecewise', where in the horizon the rate drops.",
  )
  decay_factor: float = setting(
    0.2, checks.positive, "For 'piecewise', by what it is multiplied there."
  )
  warmup_fraction: float = setting(
    0.15,
    checks.share,
    "For 'linear' and 'cosine', the share of the horizon over which the rate "
    'rises from 0.',
  )
  options: Mapping[str, Any] = setting(
    {},
    checks.options('a ConfigDict of options of the schedule'),
    "The schedule's own settings, such as "
    '--config.optimizer.options.NAME=VALUE.',
  )


def _piecewise(settings: OptimizerSettings, horizon: int) -> optax.Schedule:
  boundaries = {
    round(fraction * horizon): settings.decay_factor
    for fraction in settings.decay_fractions
  }
  return optax.piecewise_constant_schedule(settings.learning_rate, boundaries)


def _warmup_steps(settings: OptimizerSettings, horizon: int) -> int:
  return round(settings.warmup_fraction * horizon)


def _linear(settings: OptimizerSettings, horizon: int) -> optax.Schedule:
  warmup = _warmup_steps(settings, horizon)
  rise = optax.linear_schedule(0.0, settings.learning_rate, max(warmup, 1))
  fall = optax.linear_schedule(settings.learning_rate, 0.0, horizon - warmup)
  return optax.join_schedules([rise, fall], [warmup]) if warmup else fall


def _cosine(settings: OptimizerSettings, horizon: int) -> optax.Schedule:
  warmup = _warmup_steps(settings, horizon)
  rise = optax.linear_schedule(0.0, settings.learning_rate, max(warmup, 1))
  fall = optax.cosine_decay_schedule(settings.learning_rate, horizon - warmup)
  return optax.join_schedules([rise, fall], [warmup]) if warmup else fall


def _constant(settings: OptimizerSettings, horizon: int) -> optax.Schedule:
  return optax.constant_schedule(settings.learning_rate)


# name -> function(settings, horizon, and by name what options it has).
SCHEDULES: dict[str, Callable[..., optax.Schedule]] = {
  'piecewise': _piecewise,
  'linear': _linear,
  'cosine': _cosine,
  'constant': _constant,
}


def _sgd(
  settings: OptimizerSettings, horizon: int
) -> optax.GradientTransformation:
  return optax.chain(
    optax.add_decayed_weights(settings.weight_decay),
    optax.sgd(
      make_schedule(settings, horizon),
      momentum=settings.momentum or None,
      nesterov=settings.nesterov and settings.momentum > 0,
    ),
  )


def _adamw(
  settings: OptimizerSettings, horizon: int
) -> optax.GradientTransformation:
  return optax.adamw(
    make_schedule(settings, horizon), weight_decay=settings.weight_decay
  )


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
  'sgd': _sgd,
  'adamw': _adamw,
}
# Those that treat every number alike, whatever array it is in.
ELEMENTWISE = frozenset({'sgd', 'adamw'})


def make_schedule(settings: OptimizerSettings, horizon: int) -> optax.Schedule:
  """The learning rate as a function of the optimizer step, from 0.

  Args:
    settings: which schedule.
    horizon: of the schedule, in steps; training may stop earlier.

  Raises:
    DataDietError: as `check_schedule`.
  """
  check_schedule(settings)
  return SCHEDULES[settings.schedule](settings, horizon, **settings.options)


def check_schedule(settings: OptimizerSettings) -> None:
  """Checks that the schedule has the options given, and is given all it needs.

  Raises:
    DataDietError: names the option, and what the schedule has.
  """
  known = schedule_options(settings.schedule)
  needed = [
    option
    for option, default in known.items()
    if default is inspect.Parameter.empty
  ]
  owner = f'schedule {settings.schedule!r}'
  check_options(owner, settings.options, known, needed)


def schedule_options(name: str) -> dict[str, Any]:
  """What a schedule takes as `optimizer.options`, with the defaults.

  `inspect.Parameter.empty` stands for no default.
  """
  parameters = inspect.signature(SCHEDULES[name]).parameters.values()
  return {
    one.name: one.default for one in parameters if one.kind == one.KEYWORD_ONLY
  }


def make_optimizer(
  settings: OptimizerSettings, horizon: int
) -> optax.GradientTransformation:
  """The optimizer with its schedule, of `make_schedule`."""
  return OPTIMIZERS[settings.name](settings, horizon)
