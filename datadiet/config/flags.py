"""The program's flags: whatever is wrong with one is said in one line."""

import dataclasses
import os
import re
from collections.abc import Sequence
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from datadiet.config import FIELDS, closest, flatten
from datadiet.errors import ConfigError
from datadiet.workdir.tables import STAGES

_CONFIG = config_flags.DEFINE_config_file(
  'config',
  None,
  'The experiment, a file like those in configs/.',
  # For --config.select.options.NAME; other new settings are refused.
  lock_config=False,
  accept_new_attributes=True,
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Where results go; may be on gs:// or s3://.'
)
_STAGES = flags.DEFINE_list(
  'stages',
  list(STAGES),
  'The stages to run, in this order.',
)
_SWEEP_INDEX = flags.DEFINE_integer(
  'sweep_index',
  None,
  "Which combination of config.sweep to run, from 0; all, or Slurm's array "
  'index, if not given. Not where combinations share a workdir.',
)
_COORDINATOR_ADDRESS = flags.DEFINE_string(
  'coordinator_address',
  None,
  'HOST:PORT of process 0, where nothing else says who takes part (Slurm, Open '
  'MPI and TPU hosts do).',
)
_NUM_PROCESSES = flags.DEFINE_integer(
  'num_processes', None, 'How many processes take part.'
)
_PROCESS_ID = flags.DEFINE_integer(
  'process_id', None, 'The number of this one, from 0.'
)


@dataclasses.dataclass(frozen=True)
class Given:
  """The values of the flags, as given on the command line.

  Attributes:
    config: the experiment, not yet checked.
    workdir: where results go.
    stages: the stages to run.
    sweep_index: which combination of a sweep to run; None for all.
    coordinator_address: of the lead process; None to look for a cluster.
    num_processes: how many take part, or None.
    process_id: which one this is, or None.
  """

  config: Any
  workdir: str
  stages: list[str]
  sweep_index: int | None
  coordinator_address: str | None
  num_processes: int | None
  process_id: int | None


def given() -> Given:
  """The values of the flags, once they are parsed.

  Raises:
    ConfigError: if one that is always needed is missing.
  """
  for flag, value in (('config', _CONFIG.value), ('workdir', _WORKDIR.value)):
    if not value:
      raise ConfigError(f'--{flag} is missing')
  return Given(
    _CONFIG.value,
    _WORKDIR.value,
    _STAGES.value,
    _SWEEP_INDEX.value,
    _COORDINATOR_ADDRESS.value,
    _NUM_PROCESSES.value,
    _PROCESS_ID.value,
  )


_OPTIONS = 'select.options'
# --config.train.num_runs=3, -config.train.num_runs 3, --noconfig.retrain.full.
_OVERRIDE = re.compile(r'^--?(?:no)?config\.([^=]*)(?:=|$)')
_WRONG_VALUE = re.compile(r'^flag --([\w.]+)=(.*?): (.*)$', re.DOTALL)


def parse(argv: Sequence[str]) -> list[str]:
  """Parses all flags, for `app.run`.

  Args:
    argv: the command line with the program's name.

  Returns:
    What is left of it: the program's name and arguments that are no flags.

  Raises:
    ConfigError: for an unknown flag or setting (names the closest), a value
      of a wrong type, or a config file that cannot be loaded.
  """
  for argument in argv[1:]:
    if argument == '--':
      break
    if override := _OVERRIDE.match(argument):
      _check_setting(override[1])
  path = _config_path(argv)
  if path is not None and not os.path.isfile(path):
    raise ConfigError(f'--config: there is no file {path!r}')
  try:
    rest = flags.FLAGS(list(argv))
  except flags.UnrecognizedFlagError as error:
    name = error.flagname
    raise ConfigError(
      f'--{name} is not a flag{closest(name, _flags_of_this_project())}'
    ) from error
  except flags.IllegalFlagValueError as error:
    raise ConfigError(_wrong_value(error, path)) from error
  except flags.Error as error:
    raise ConfigError(_one_line(str(error))) from error
  except Exception as error:  # A config file may raise anything.
    raise ConfigError(_config_file_error(error, path)) from error
  _check_config(flags.FLAGS['config'].value, path)
  _split_names(flags.FLAGS['config'].value)
  return rest


def _split_names(config: ml_collections.ConfigDict | None) -> None:
  """Takes a,b for ('a', 'b'): ml_collections makes one name of it."""
  for name, value in list(flatten(config or {})):
    is_one_name = isinstance(value, tuple) and len(value) == 1
    if is_one_name and isinstance(value[0], str) and ',' in value[0]:
      *sections, field = name.split('.')
      names = (item.strip() for item in value[0].split(','))
      group = config
      for section in sections:
        group = group[section]
      group[field] = tuple(item for item in names if item)


def _config_path(argv: Sequence[str]) -> str | None:
  """The file that --config names, or None."""
  for position, argument in enumerate(argv):
    name, equals, value = argument.partition('=')
    if name in ('--config', '-config'):
      value = value if equals else ''.join(argv[position + 1 : position + 2])
      # What follows a colon is for its get_config.
      return value.partition(':')[0]
  return None


def _check_config(config: object, path: str | None) -> None:
  if path is None or isinstance(config, ml_collections.ConfigDict):
    return
  try:
    # Of a file that could not be read, ml_collections keeps an object that
    # raises the error on any use.
    hasattr(config, 'items')
  except OSError as error:
    raise ConfigError(_one_line(f'--config: {path}: {error}')) from error
  raise ConfigError(
    f'--config: get_config() of {path} must return a '
    f'ml_collections.ConfigDict; it returned {config!r:.100}'
  )


def _check_setting(name: str) -> None:
  if name in FIELDS or name.startswith(f'{_OPTIONS}.'):
    return
  if name.startswith('sweep.'):
    return _check_setting(name.removeprefix('sweep.'))
  below = [field for field in FIELDS if field.startswith(f'{name}.')]
  if below:
    raise ConfigError(
      f'config.{name} is a group of settings; set one of them, such as '
      f'--config.{below[0]}=VALUE'
    )
  raise ConfigError(f'config.{name} is not a setting{closest(name, FIELDS)}')


def _flags_of_this_project() -> list[str]:
  """Those defined here, and what absl has that people use."""
  own = flags.FLAGS.flags_by_module_dict()[__name__]
  return [*(flag.name for flag in own), 'verbosity', 'help']


def _wrong_value(error: Exception, path: str | None) -> str:
  match = _WRONG_VALUE.match(str(error))
  name, value, reason = match.groups() if match else ('', '', str(error))
  setting = name.removeprefix('config.')
  if setting in FIELDS:
    return (
      f'config.{setting}: {value!r} is not allowed; allowed: '
      f'{FIELDS[setting].allowed}'
    )
  if name == 'config':
    return _config_file_error(error, path)
  return _one_line(f'--{name}: {value!r} is not allowed; {reason}')


def _config_file_error(error: BaseException, path: str | None) -> str:
  """Names the file, the line where it went wrong, and the reason."""
  # ml_collections wraps some errors in others that quote the traceback.
  chain = [error]
  while following := chain[-1].__cause__ or chain[-1].__context__:
    chain.append(following)
  cause = next((one for one in reversed(chain) if _line_in(path, one)), error)
  line = _line_in(path, cause)
  where = f'{path}, line {line}' if line else path
  return _one_line(f'--config: {where}: {type(cause).__name__}: {cause}')


def _line_in(path: str | None, error: BaseException) -> int | None:
  """The last line of a file that an error went through, or None."""
  if isinstance(error, SyntaxError) and error.filename == path:
    return error.lineno
  line, frame = None, error.__traceback__
  while frame is not None:
    if frame.tb_frame.f_code.co_filename == path:
      line = frame.tb_lineno
    frame = frame.tb_next
  return line


def _one_line(text: str) -> str:
  return ' '.join(text.split())
