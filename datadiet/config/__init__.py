"""The settings: checked before data is read or code compiled, and resolved."""

import ml_collections

from datadiet.config.fields import FIELDS, Check, closest, flatten
from datadiet.config.rules import (
  check_steps,
  check_together,
  policy_options,
)
from datadiet.errors import ConfigError
from datadiet.models import ALIASES as MODEL_ALIASES
from datadiet.scoring import registry
from datadiet.selection.policies import ALIASES as POLICY_ALIASES

__all__ = [
  'FIELDS',
  'Check',
  'check',
  'closest',
  'flatten',
  'policy_options',
  'resolve',
]


def check(config: ml_collections.ConfigDict) -> None:
  """Checks every field on its own and those that belong together.

  Raises:
    ConfigError: names the first wrong field, its value and what is allowed.
  """
  values = dict(flatten(config))
  for name in values:
    if name not in FIELDS:
      raise ConfigError(
        f'config.{name} is not a setting{closest(name, FIELDS)}'
      )
  for name, field in FIELDS.items():
    if name not in values:
      raise ConfigError(f'config.{name} is missing; allowed: {field.allowed}')
    if not field.accepts(values[name]):
      hint = ''
      if field.known:
        wrong = values[name]
        if isinstance(wrong, (tuple, list)):
          wrong = next((item for item in wrong if item not in field.known), '')
        hint = closest(str(wrong), field.known)
      raise ConfigError(
        f'config.{name}: {values[name]!r} is not allowed; allowed: '
        f'{field.allowed}{hint}'
      )
  check_together(config)


def resolve(
  config: ml_collections.ConfigDict, steps_per_epoch: int = 0
) -> ml_collections.ConfigDict:
  """A frozen copy with names resolved and chosen values filled in.

  Does not touch what depends on the devices, so that a workdir may move.

  Args:
    config: of `check`; may be resolved already.
    steps_per_epoch: turns train.num_epochs, if there are any, into
      train.num_steps. While it is 0, not known yet, these and what follows
      from them stay open.

  Raises:
    ConfigError: if epochs and settings that count steps do not go together.
  """
  config = ml_collections.ConfigDict(config.to_dict())
  config.model.name = MODEL_ALIASES.get(config.model.name, config.model.name)
  config.score.names = registry.resolve(config.score.names)
  config.select.scores = registry.resolve_selected(config.select.scores)
  config.select.policies = tuple(
    POLICY_ALIASES.get(name, name) for name in config.select.policies
  )
  if not config.train.num_epochs or steps_per_epoch:
    if config.train.num_epochs:
      config.train.num_steps = config.train.num_epochs * steps_per_epoch
      check_steps(config)
    _resolve_steps(config)
  return ml_collections.FrozenConfigDict(config)


def _resolve_steps(config: ml_collections.ConfigDict) -> None:
  """Fills in the settings that follow from train.num_steps."""
  config.train.schedule_steps = (
    config.train.schedule_steps or config.train.num_steps
  )
  steps = tuple(config.score.steps) or (config.train.num_steps,)
  config.score.steps = tuple(sorted(set(steps)))
  if config.select.step < 0:
    config.select.step = config.score.steps[-1]
  config.retrain.num_steps = (
    config.retrain.num_steps or config.train.schedule_steps
  )
