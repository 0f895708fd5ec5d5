"""Sweeps: one start for all combinations of some settings.

`config.sweep` mirrors the config: `config.sweep.train.model_seed = (0, 1)`
tries both. Combinations that differ only in settings that the names of
selections contain share the workdir, and so its networks, scores and baselines:
they run in one process. Where they differ in lists alone, such as
select.policies, they are joined to one combination, whose retrainings fill the
devices together, whatever their subsets; else they run one after the other.
Others, also those that differ in
select.seed or in which end of a score is hard, get a workdir each below it, and
can be spread over machines.
"""

import dataclasses
import itertools
import os
from collections.abc import Collection, Sequence
from typing import Any

import ml_collections

from datadiet import config as config_lib
from datadiet.errors import ConfigError
from datadiet.selection.naming import name_of_file
from datadiet.settings import closest
from datadiet.workdir.tables import STAGES

# All combinations of such lists select what the joined lists do.
_LISTS = (
  'select.scores',
  'select.policies',
  'select.fractions',
  'select.sizes',
)


@dataclasses.dataclass(frozen=True)
class Child:
  """One combination of the values that a sweep tries.

  Attributes:
    index: its number, from 0.
    settings: dotted names of the swept settings, with their values here.
    config: with these, and no sweep.
    workdir: where its artifacts go.
  """

  index: int
  settings: dict[str, Any]
  config: ml_collections.ConfigDict
  workdir: str


def expand(
  config: ml_collections.ConfigDict,
  workdir: str,
  stages: Collection[str] = STAGES,
) -> list[Child]:
  """All combinations of a sweep; the last setting changes fastest.

  Args:
    config: with a sweep.
    workdir: of the sweep.
    stages: that are asked for.

  Raises:
    ConfigError: if the sweep names no setting, a value is not allowed, or a
      combination is not.
  """
  swept = _swept(config)
  shares = all(_is_in_names(name, values) for name, values in swept.items())
  if shares:
    _check_each(config, swept)
    swept = {
      name: (_joined(values),) if name in _LISTS else values
      for name, values in swept.items()
    }
  children = []
  for index, values in enumerate(itertools.product(*swept.values())):
    settings = dict(zip(swept, values, strict=True))
    child = _with(config, settings)
    config_lib.check(child, stages=stages)
    folder = workdir
    if not shares:
      folder = os.path.join(workdir, 'sweep', _folder(index, settings))
    children.append(Child(index, settings, child, folder))
  return children


def _check_each(
  config: ml_collections.ConfigDict, swept: dict[str, tuple]
) -> None:
  """Checks values before they are joined, for messages that name one."""
  for name in set(_LISTS) & swept.keys():
    for value in swept[name]:
      config_lib.check_value(name, value, config_lib.FIELDS[name])


def _joined(lists: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
  """The items of all lists, each once, in order."""
  return tuple(dict.fromkeys(itertools.chain.from_iterable(lists)))


def _is_in_names(name: str, values: Sequence[Any]) -> bool:
  """Whether selections made with different values have different names."""
  if name == 'select.scores_path':
    return len({name_of_file(str(path)) for path in values}) == len(values)
  return config_lib.FIELDS[name].in_names


def children_of(
  config: ml_collections.ConfigDict,
  workdir: str,
  index: int | None,
  stages: Collection[str] = STAGES,
) -> list[Child]:
  """Expands and checks all combinations of a sweep; empty without a sweep.

  Args:
    config: not yet checked.
    workdir: of the sweep.
    index: of --sweep_index.
    stages: that are asked for.

  Raises:
    ConfigError: for a wrong setting or a number that no combination has.
  """
  config_lib.check(config, stages=stages)
  swept = list(config_lib.flatten(config.sweep))
  children = expand(config, workdir, stages) if swept else []
  chosen(children, index)
  return children


def _swept(config: ml_collections.ConfigDict) -> dict[str, tuple]:
  swept = dict(config_lib.flatten(config.sweep))
  for name, values in swept.items():
    if name not in config_lib.FIELDS or name == 'sweep':
      raise ConfigError(
        f'config.sweep.{name} is not a setting'
        f'{closest(name, config_lib.FIELDS)}'
      )
    if not isinstance(values, tuple | list) or not values:
      raise ConfigError(
        f'config.sweep.{name}: {values!r} is not allowed; allowed: a tuple of '
        f'values, each {config_lib.FIELDS[name].allowed}'
      )
  return swept


def _with(
  config: ml_collections.ConfigDict, settings: dict[str, Any]
) -> ml_collections.ConfigDict:
  fields = config.to_dict()
  fields['sweep'] = {}
  for name, value in settings.items():
    *sections, field = name.split('.')
    group = fields
    for section in sections:
      group = group[section]
    group[field] = tuple(value) if isinstance(value, list) else value
  return ml_collections.ConfigDict(fields)


def _folder(index: int, settings: dict[str, Any]) -> str:
  parts = [f'{name.split(".")[-1]}={value}' for name, value in settings.items()]
  text = '_'.join(parts)
  safe = ''.join(c if c.isalnum() or c in '._=-' else '-' for c in text)
  return f'{index:03d}_{safe[:120]}'


def chosen(children: list[Child], index: int | None) -> list[Child]:
  """The children this start runs: one by its number, or all.

  Args:
    children: of `expand`; none without a sweep.
    index: of --sweep_index; None for Slurm's array index, if there is one.

  Raises:
    ConfigError: for a number that no child has, or where those with other
      numbers would write into the same workdir.
  """
  name, array = '--sweep_index', os.environ.get('SLURM_ARRAY_TASK_ID', '')
  if index is None and array.isdigit():
    name, index = 'SLURM_ARRAY_TASK_ID', int(array)
  if index is None:
    return children
  if not children:
    raise ConfigError(
      f'{name}: {index} is not allowed without a sweep; allowed: with '
      f'config.sweep.SECTION.FIELD=VALUES{_WITHOUT_SWEEP.get(name, "")}'
    )
  if not 0 <= index < len(children):
    raise ConfigError(
      f'{name}: {index} is not allowed; allowed: from 0 to {len(children) - 1}'
    )
  if len({child.workdir for child in children}) < len(children):
    raise ConfigError(
      f'{name}: {index} is not allowed where combinations differ only in what '
      f'is selected, as they share networks and baselines in '
      f'{children[0].workdir}; allowed: all of them in one process, or a '
      '--workdir for each without a sweep'
    )
  return [children[index]]


_WITHOUT_SWEEP = {
  'SLURM_ARRAY_TASK_ID': ', or unset where each job of the array has a '
  '--workdir of its own'
}
