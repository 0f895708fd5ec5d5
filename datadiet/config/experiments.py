"""Resolves --config: a shipped experiment, a file, or a stored config.json."""

import os
from importlib import import_module
from pathlib import Path

from datadiet.config import stored
from datadiet.errors import ConfigError
from datadiet.settings import closest


def shipped() -> dict[str, str]:
  """Name -> path of the experiments that come with datadiet."""
  # By name: the experiments import this room.
  folders = import_module('datadiet.configs').__path__
  return {
    path.stem: os.fspath(path)
    for folder in folders
    for path in sorted(Path(folder).glob('*.py'))
    if path.stem != '__init__'
  }


def find(value: str) -> str:
  """The file for ml_collections to read, perhaps with ':' and an argument.

  Args:
    value: of --config: a path, the name of a shipped experiment, either
      perhaps with ':' and an argument, or the path of a config.json.

  Raises:
    ConfigError: if there is none; lists the shipped ones.
  """
  if value.endswith('.json'):
    stored.get_config(value)  # Says what is wrong in its own words.
    return f'{stored.__file__}:{value}'
  path, colon, argument = value.partition(':')
  if os.path.isfile(path):
    return value
  known = shipped()
  if path in known:
    return f'{known[path]}{colon}{argument}'
  raise ConfigError(
    f'--config: there is no file {path!r}; allowed: a file, the config.json of '
    f'a workdir, or one of {", ".join(known)}{closest(Path(path).stem, known)}'
  )
