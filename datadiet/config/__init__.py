"""All sections of settings together, checked and resolved before any work."""

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import ml_collections

from datadiet.config.rules import (
  check_steps,
  check_together,
  policy_options,
)
from datadiet.config.sections import Config
from datadiet.config.selected_scores import mean_scores
from datadiet.data import DATASETS
from datadiet.errors import ConfigError
from datadiet.models import ALIASES as MODEL_ALIASES
from datadiet.models import MODELS
from datadiet.scoring import registry
from datadiet.scoring.score import OF_A_FUNCTION
from datadiet.selection.policies import ALIASES as POLICY_ALIASES
from datadiet.selection.policies import POLICIES
from datadiet.selection.settings import split_policy
from datadiet.settings import (
  Setting,
  closest,
  defaults,
  from_values,
  plugins,
  settings_of,
  to_values,
)
from datadiet.training.optimizer import OPTIMIZERS, SCHEDULES
from datadiet.workdir.tables import STAGES

__all__ = [
  'FIELDS',
  'Config',
  'check',
  'flatten',
  'get_config',
  'mean_scores',
  'policy_options',
  'resolve',
]

# Every setting by its dotted name.
FIELDS: dict[str, Setting] = settings_of(Config)


def get_config(of: type = Config) -> ml_collections.ConfigDict:
  """The defaults, which config files change.

  Args:
    of: the sections.
  """
  values = defaults(of)
  values['sweep'] = _sections_alone(values)
  return ml_collections.ConfigDict(values)


# Of settings whose values are dicts: they are swept as a whole.
_GROUPS = ('sweep', 'options', 'extra_tests')


def _sections_alone(values: Mapping[str, Any]) -> dict[str, Any]:
  """The sections without any setting, for a sweep to fill."""
  return {
    name: _sections_alone(value)
    for name, value in values.items()
    if isinstance(value, Mapping) and name not in _GROUPS
  }


def check(
  config: ml_collections.ConfigDict,
  of: type[Config] = Config,
  stages: Collection[str] = STAGES,
) -> None:
  """Checks every field on its own, then fields that depend on each other.

  Plugins are imported first, as they add allowed values.

  Args:
    config: the settings, of any types.
    of: the sections they have to fit.
    stages: that are asked for; settings that only others use may disagree.

  Raises:
    ConfigError: names the first wrong field, its value and what is allowed.
  """
  fields = settings_of(of)
  values = dict(flatten(config, fields))
  for name in values:
    if name not in fields:
      raise ConfigError(
        f'config.{name} is not a setting{closest(name, fields)}'
      )
  if fields['plugins'].check.accepts(values.get('plugins')):
    load_plugins(values['plugins'])
  for name, field in fields.items():
    if name not in values:
      raise ConfigError(f'config.{name} is missing; allowed: {field.allowed}')
    check_value(name, values[name], field)
  check_together(_with_own_names(from_values(of, config.to_dict())), stages)


def _with_own_names(config: Config) -> Config:
  """Replaces the predecessor's names by those that they stand for."""
  model, score, select = config.model, config.score, config.select
  return dataclasses.replace(
    config,
    model=dataclasses.replace(
      model, name=MODEL_ALIASES.get(model.name, model.name)
    ),
    score=dataclasses.replace(score, names=_own_scores(score.names)),
    select=dataclasses.replace(
      select,
      scores=_own_scores(select.scores),
      policies=tuple(map(_own_policy, select.policies)),
    ),
  )


def _own_scores(names: Iterable[str]) -> tuple[str, ...]:
  """Each score once; names may have a step, such as 'el2n@7800'."""
  return tuple(dict.fromkeys(map(registry.own_name, names)))


def _own_policy(asked: str) -> str:
  policy, score = split_policy(asked)
  name = POLICY_ALIASES.get(policy, policy)
  return name if score is None else f'{name}:{registry.own_name(score)}'


# What plugins add to: what it is, and its entries by name.
_REGISTRIES: dict[str, dict[str, Any]] = {
  'model': MODELS,
  'score': registry.SCORES,
  'policy': POLICIES,
  'data set': DATASETS,
  'schedule': SCHEDULES,
  'optimizer': OPTIMIZERS,
}


def load_plugins(names: Iterable[str]) -> None:
  """Imports plugins, which add to what settings may name.

  Args:
    names: of `config.plugins`.

  Raises:
    ConfigError: if one cannot be imported, or replaces what has its name.
  """
  before = {what: dict(entries) for what, entries in _REGISTRIES.items()}
  plugins.load(names)
  for what, entries in _REGISTRIES.items():
    for name, entry in before[what].items():
      if entries.get(name) is not entry:
        raise ConfigError(
          f'config.plugins: {", ".join(names)} replaces the {what} {name!r}; '
          f'allowed: a name that no {what} has'
        )
  for name, score in registry.SCORES.items():
    if name not in before['score'] and score.function is None:
      raise ConfigError(
        f'config.plugins: {", ".join(names)} adds the score {name!r} of kind '
        f'{score.kind!r}, which nothing would compute; allowed: scores of kind '
        f'{", ".join(OF_A_FUNCTION)}, with a function'
      )


def check_value(name: str, value: Any, field: Setting) -> None:
  """Checks one field on its own.

  Raises:
    ConfigError: names the field, its value and what is allowed.
  """
  if field.check.accepts(value):
    return
  if isinstance(value, ml_collections.ConfigDict):
    value = value.to_dict()
  hint = ''
  if known := field.check.known:
    wrong = value
    if isinstance(wrong, tuple | list):
      wrong = next((item for item in wrong if str(item) not in known), '')
    hint = closest(wrong, known)
  raise ConfigError(
    f'config.{name}: {value!r} is not allowed; allowed: {field.allowed}{hint}'
  )


def flatten(
  config: Mapping[str, Any] | Config,
  fields: Mapping[str, Setting] = FIELDS,
  prefix: str = '',
) -> Iterator[tuple[str, Any]]:
  """Pairs of dotted field name and value; groups such as options stay whole."""
  if isinstance(config, Config):
    config = to_values(config)
  for key, value in config.items():
    name = f'{prefix}{key}'
    if (
      isinstance(value, Mapping | ml_collections.ConfigDict)
      and name not in fields
      # What is empty and no section has a wrong name, which must be seen.
      and (value or any(field.startswith(f'{name}.') for field in fields))
    ):
      yield from flatten(value, fields, f'{name}.')
    else:
      yield name, value


def resolve(
  config: ml_collections.ConfigDict | Config,
  steps_per_epoch: int = 0,
  stages: Collection[str] = STAGES,
) -> Config:
  """The typed config with names resolved and chosen values filled in.

  Does not touch what depends on the devices, so that a workdir may move.

  Args:
    config: of `check`; may be resolved already.
    steps_per_epoch: turns train.num_epochs, if there are any, into
      train.num_steps. While it is 0, not known yet, these and what follows
      from them stay open.
    stages: that are asked for, as `check` takes them.

  Raises:
    ConfigError: if epochs and settings that count steps do not go together.
  """
  if not isinstance(config, Config):
    config = from_values(Config, config.to_dict())
  config = _with_own_names(config)
  if not config.train.num_epochs:
    return _resolve_steps(config)
  if not steps_per_epoch:
    return config
  num_steps = config.train.num_epochs * steps_per_epoch
  train = dataclasses.replace(config.train, num_steps=num_steps)
  config = dataclasses.replace(config, train=train)
  check_steps(config, stages)
  return _resolve_steps(config)


def _resolve_steps(config: Config) -> Config:
  """Fills in the settings that follow from train.num_steps."""
  train, score, select = config.train, config.score, config.select
  horizon = train.schedule_steps or train.num_steps
  steps = tuple(sorted({*score.steps} or {train.num_steps}))
  return dataclasses.replace(
    config,
    train=dataclasses.replace(train, schedule_steps=horizon),
    score=dataclasses.replace(score, steps=steps),
    select=dataclasses.replace(
      select, step=steps[-1] if select.step < 0 else select.step
    ),
    retrain=dataclasses.replace(
      config.retrain, num_steps=config.retrain.num_steps or horizon
    ),
  )
