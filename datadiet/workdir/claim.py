"""Whether a folder may be used as a workdir: it is empty, or it is one."""

import fnmatch
import os
from collections.abc import Collection
from typing import Any

from etils import epath

from datadiet.errors import ConfigError
from datadiet.workdir import artifacts, storage
from datadiet.workdir.artifacts import Workdir

_ALLOWED = 'a folder that is new or empty, or that was made by this program'
# Files written before config.json, and files that output is redirected to.
_HARMLESS = ('lost+found', '.*', '*.log', '*.out', '*.err')
_NUM_SHOWN = 3


def check_is_free(
  workdir: Workdir, beside: Collection[str] = ()
) -> dict[str, Any] | None:
  """Checks that the workdir holds no foreign files.

  Args:
    workdir: existing or not, local or remote.
    beside: further names that may exist there.

  Returns:
    The content of the workdir's config.json; None if there is none yet.

  Raises:
    ConfigError: names the foreign files.
    DataDietError: if its config.json is damaged.
  """
  root = workdir.root
  if workdir.config.exists():
    content = artifacts.read_json(workdir.config)
    if not _is_ours(content):
      raise ConfigError(
        f'--workdir: {workdir.config} was not written by this program; '
        f'allowed: {_ALLOWED}'
      )
    return content
  if not root.exists():
    return None
  if not root.is_dir():
    raise ConfigError(f'--workdir: {root} is not a folder; allowed: {_ALLOWED}')
  if workdir.importing.exists():
    raise ConfigError(
      f'--workdir: {root} holds an import that has not ended; allowed: to end '
      'it, by `datadiet import` into the same folder'
    )
  own = {*beside, *(path.name for path in workdir.written_first)}
  others = sorted(
    path.name
    for path in root.iterdir()
    if path.name not in own
    and not any(fnmatch.fnmatch(path.name, known) for known in _HARMLESS)
  )
  if others:
    more = len(others) - _NUM_SHOWN
    raise ConfigError(
      f'--workdir: {root} holds other things '
      f'({", ".join(others[:_NUM_SHOWN])}'
      f'{f" and {more} more" if more > 0 else ""}); allowed: {_ALLOWED}'
    )
  return None


def _is_ours(content: Any) -> bool:
  config = content.get('config') if isinstance(content, dict) else None
  return isinstance(config, dict) and 'dataset' in config


def check_is_apart(workdir: Workdir, data_dir: str, is_tree: bool) -> None:
  """Checks that neither the workdir nor the data lies inside the other.

  Args:
    workdir: existing or not.
    data_dir: `config.dataset.data_dir`.
    is_tree: whether the data is all that lies in `data_dir`, so that a workdir
      in it would be a part of the data.

  Raises:
    ConfigError: says which lies in which.
  """
  if not data_dir:
    return
  work, data = _absolute(workdir.root), _absolute(data_dir)
  if work == data:
    relation = 'is the folder of the data'
  elif data.startswith(f'{work}/'):
    relation = f'holds the data, {data_dir}'
  elif is_tree and work.startswith(f'{data}/'):
    relation = f'lies in the folder of the data, {data_dir}'
  else:
    return
  raise ConfigError(
    f'--workdir: {workdir.root} {relation}; allowed: a folder beside it'
  )


def _absolute(path: epath.PathLike) -> str:
  if storage.is_remote(path):
    return os.fspath(path).rstrip('/')
  return os.path.realpath(os.path.expanduser(path))
