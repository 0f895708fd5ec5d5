"""The settings of a training, from the config."""

from typing import Any

from datadiet.runtime.platform import platform_of
from datadiet.scoring import registry
from datadiet.training.dynamics import DynamicsSettings
from datadiet.training.optimizer import OptimizerSettings
from datadiet.training.settings import TrainSettings


def optimizer_settings(config: Any) -> OptimizerSettings:
  """The settings of the optimizer, from the config."""
  return OptimizerSettings(
    schedule_steps=config.train.schedule_steps, **config.optimizer.to_dict()
  )


def train_settings(
  config: Any, num_steps: int, keep_steps: tuple[int, ...]
) -> TrainSettings:
  """The settings of a training, from the config.

  Args:
    config: of `config.resolve`.
    num_steps: optimizer steps.
    keep_steps: steps whose networks are kept.
  """
  train = config.train
  per_call = train.steps_per_call
  if not per_call:
    # Loops over steps are many times slower than single steps on CPU.
    per_call = 1 if platform_of() == 'cpu' else 10
  return TrainSettings(
    model=config.model.name,
    width=config.model.width,
    dtype=config.model.dtype,
    optimizer=optimizer_settings(config),
    num_steps=num_steps,
    batch_size=train.batch_size,
    eval_batch_size=train.eval_batch_size,
    augmentation=train.augmentation,
    crop_padding=train.crop_padding,
    model_seed=train.model_seed,
    data_seed=train.data_seed,
    log_every_steps=train.log_every_steps,
    eval_every_steps=train.eval_every_steps,
    checkpoint_every_steps=train.checkpoint_every_steps,
    keep_steps=keep_steps,
    steps_per_call=per_call,
    placement=config.dataset.placement,
    init_from=train.init_from,
    dynamics=_dynamics_settings(config),
  )


def _dynamics_settings(config: Any) -> DynamicsSettings:
  """Records only what the scores asked for need: windows take memory."""
  names = config.score.names
  needs_window = registry.needing(names, registry.WINDOWS)
  return DynamicsSettings(
    window=config.train.dynamics_window if needs_window else 0,
    recorders=registry.recorders_for(names),
  )
