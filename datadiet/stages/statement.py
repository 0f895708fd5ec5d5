"""What the manifests say of each score, with the settings it depends on."""

from typing import Any

from datadiet.config import Config
from datadiet.scoring import registry


def parameters(config: Config, name: str) -> dict[str, Any]:
  """The settings that a score of one network depends on, beside training's.

  A score that was made with others is made again.
  """
  score = config.score
  found = {}
  if registry.SCORES[name].kind in (registry.FORWARD, registry.GRADIENT):
    found['dtype'] = score.dtype
  if name == 'grand_subset':
    found['params'] = score.grand_subset
  if name == 'unclog':
    found['sample_size'] = score.unclog_sample_size
    found['sample_seed'] = score.unclog_seed
  return found


def statement(config: Config, name: str) -> dict[str, Any]:
  """Everything that has to be known to compare a score with another one.

  Args:
    config: of `config.resolve`.
    name: a key of `SCORES`.
  """
  score = registry.SCORES[name]
  stated = {**score.statement(), **parameters(config, name)}
  if score.kind == registry.DYNAMICS:
    stated['augmentation'] = config.train.augmentation != 'none'
  if registry.WINDOWS in score.needs:
    stated['window'] = config.train.dynamics_window
  return stated
