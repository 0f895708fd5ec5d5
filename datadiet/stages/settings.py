"""The plan of a training, from the config."""

from datadiet.config import Config
from datadiet.scoring import registry
from datadiet.training.dynamics import DynamicsSettings
from datadiet.training.plan import TrainingPlan


def training_plan(
  config: Config, num_steps: int, keep_steps: tuple[int, ...]
) -> TrainingPlan:
  """The plan of a training, from the config.

  Args:
    config: of `config.resolve`.
    num_steps: optimizer steps.
    keep_steps: steps whose networks are kept.
  """
  return TrainingPlan(
    config.model,
    config.optimizer,
    config.train,
    num_steps,
    keep_steps,
    placement=config.dataset.placement,
    dynamics=_dynamics_settings(config),
  )


def _dynamics_settings(config: Config) -> DynamicsSettings:
  """Records only what the scores asked for need: windows take memory."""
  names = config.score.names
  needs_window = registry.needing(names, registry.WINDOWS)
  return DynamicsSettings(
    window=config.train.dynamics_window if needs_window else 0,
    recorders=registry.recorders_for(names),
    needed_by=registry.recorded_for(names),
  )
