"""The settings that a workdir was made with, for a later start on it.

This is a config file as well: --config=WORKDIR/config.json is turned into
--config=stored.py:WORKDIR/config.json.
"""

import ml_collections
from absl import logging
from etils import epath

from datadiet import config as config_lib
from datadiet.errors import ConfigError, DataDietError
from datadiet.settings import from_values, to_values
from datadiet.workdir import artifacts


def get_config(path: str) -> ml_collections.ConfigDict:
  """The settings of a config.json; those that are newer have their defaults.

  Args:
    path: of the file; may be remote.

  Raises:
    ConfigError: if it is missing or holds no settings.
  """
  file = epath.Path(path).expanduser()
  if not file.exists():
    raise ConfigError(f'--config: there is no file {path!r}')
  try:
    stored = artifacts.read_json(file)['config']
    gone = sorted(
      {name for name, _ in config_lib.flatten(stored)} - {*config_lib.FIELDS}
    )
    values = to_values(from_values(config_lib.Config, stored))
    values['sweep'] = config_lib.get_config().sweep
    config = ml_collections.ConfigDict(values)
  except (
    DataDietError,
    AttributeError,
    KeyError,
    TypeError,
    ValueError,
  ) as error:
    raise ConfigError(
      f'--config: {path} holds no settings; allowed: the config.json of a '
      'workdir, or a Python file like those in configs/'
    ) from error
  if gone:
    logging.warning(
      '%s: ignored, as these settings no longer exist: %s',
      path,
      ', '.join(gone),
    )
  return config
