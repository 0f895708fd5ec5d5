"""Learning-rate schedules and optimizers, through optax."""

import dataclasses
from collections.abc import Callable

import optax


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
  """How parameters are updated.

  Attributes:
    name: a key of `OPTIMIZERS`.
    schedule: a key of `SCHEDULES`.
    learning_rate: its peak.
    schedule_steps: the schedule's horizon in optimizer steps; training may
      stop earlier.
    decay_fractions: for 'piecewise', where in the horizon the rate drops.
    decay_factor: for 'piecewise', by what it is multiplied there.
    warmup_fraction: for 'linear' and 'cosine', the share of the horizon over
      which the rate rises from 0.
    momentum: of SGD.
    nesterov: whether SGD's momentum is Nesterov's.
    weight_decay: for 'sgd' added to the gradient of every parameter before
      momentum (L2), as in the paper; for 'adamw' decoupled.
  """

  name: str = 'sgd'
  schedule: str = 'piecewise'
  learning_rate: float = 0.1
  schedule_steps: int = 78_000
  decay_fractions: tuple[float, ...] = (0.3, 0.6, 0.8)
  decay_factor: float = 0.2
  warmup_fraction: float = 0.15
  momentum: float = 0.9
  nesterov: bool = True
  weight_decay: float = 5e-4


def _piecewise(settings: OptimizerSettings) -> optax.Schedule:
  boundaries = {
    round(fraction * settings.schedule_steps): settings.decay_factor
    for fraction in settings.decay_fractions
  }
  return optax.piecewise_constant_schedule(settings.learning_rate, boundaries)


def _warmup_steps(settings: OptimizerSettings) -> int:
  return round(settings.warmup_fraction * settings.schedule_steps)


def _linear(settings: OptimizerSettings) -> optax.Schedule:
  warmup = _warmup_steps(settings)
  rise = optax.linear_schedule(0.0, settings.learning_rate, max(warmup, 1))
  fall = optax.linear_schedule(
    settings.learning_rate, 0.0, settings.schedule_steps - warmup
  )
  return optax.join_schedules([rise, fall], [warmup]) if warmup else fall


def _cosine(settings: OptimizerSettings) -> optax.Schedule:
  warmup = _warmup_steps(settings)
  rise = optax.linear_schedule(0.0, settings.learning_rate, max(warmup, 1))
  fall = optax.cosine_decay_schedule(
    settings.learning_rate, settings.schedule_steps - warmup
  )
  return optax.join_schedules([rise, fall], [warmup]) if warmup else fall


def _constant(settings: OptimizerSettings) -> optax.Schedule:
  return optax.constant_schedule(settings.learning_rate)


SCHEDULES: dict[str, Callable[[OptimizerSettings], optax.Schedule]] = {
  'piecewise': _piecewise,
  'linear': _linear,
  'cosine': _cosine,
  'constant': _constant,
}


def _sgd(settings: OptimizerSettings) -> optax.GradientTransformation:
  return optax.chain(
    optax.add_decayed_weights(settings.weight_decay),
    optax.sgd(
      make_schedule(settings),
      momentum=settings.momentum or None,
      nesterov=settings.nesterov and settings.momentum > 0,
    ),
  )


def _adamw(settings: OptimizerSettings) -> optax.GradientTransformation:
  return optax.adamw(
    make_schedule(settings), weight_decay=settings.weight_decay
  )


OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
  'sgd': _sgd,
  'adamw': _adamw,
}


def make_schedule(settings: OptimizerSettings) -> optax.Schedule:
  """The learning rate as a function of the optimizer step, from 0."""
  return SCHEDULES[settings.schedule](settings)


def make_optimizer(
  settings: OptimizerSettings,
) -> optax.GradientTransformation:
  """The optimizer with its schedule."""
  return OPTIMIZERS[settings.name](settings)
