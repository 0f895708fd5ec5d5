"""The program's flags; a wrong one is reported in one line."""

import dataclasses
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from datadiet.config import (
  FIELDS,
  command_line,
  experiments,
  load_plugins,
)
from datadiet.config.help import help_text
from datadiet.errors import ConfigError
from datadiet.settings import closest
from datadiet.workdir.artifacts import Workdir
from datadiet.workdir.tables import STAGES

# The prepared command line, where ml_collections looks for overrides.
_ARGV: list[str] = []
_CONFIG = config_flags.DEFINE_config_file(
  'config',
  None,
  'The experiment: a name, a file like those in configs/, or the config.json '
  'of a workdir; the settings of --workdir if not given.',
  # For --config.select.options.NAME; other new settings are refused.
  lock_config=False,
  accept_new_attributes=True,
  sys_argv=_ARGV,
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
_JOIN_SECONDS = flags.DEFINE_integer(
  'join_seconds',
  None,
  'How long processes wait for each other at the start; 1800 on the hosts of a '
  'TPU slice and 300 elsewhere if not given.',
)


@dataclasses.dataclass(frozen=True)
class Given:
  """The values of the flags, as given on the command line.

  Attributes:
    config: the experiment, not yet checked.
    stored_in: the config.json that its settings are from; '' for others.
    workdir: where results go.
    stages: the stages to run.
    sweep_index: which combination of a sweep to run; None for all.
    coordinator_address: of the lead process; None to look for a cluster.
    num_processes: how many take part, or None.
    process_id: which one this is, or None.
    join_seconds: how long they wait for each other, or None.
  """

  config: ml_collections.ConfigDict
  stored_in: str
  workdir: str
  stages: list[str]
  sweep_index: int | None
  coordinator_address: str | None
  num_processes: int | None
  process_id: int | None
  join_seconds: int | None


def given(needs_workdir: bool = True) -> Given:
  """The values of the flags, once they are parsed.

  Args:
    needs_workdir: whether anything is to be run.

  Raises:
    ConfigError: if one that is needed is missing.
  """
  if needs_workdir and not _WORKDIR.value:
    raise ConfigError('--workdir is missing')
  if not _CONFIG.value:
    raise ConfigError(_missing_config())
  config_flag: Any = flags.FLAGS['config']  # ml_collections' own kind.
  _, _, argument = config_flag.config_filename.partition(':')
  return Given(
    _CONFIG.value,
    argument if argument.endswith('.json') else '',
    _WORKDIR.value or '',
    _STAGES.value,
    _SWEEP_INDEX.value,
    _COORDINATOR_ADDRESS.value,
    _NUM_PROCESSES.value,
    _PROCESS_ID.value,
    _JOIN_SECONDS.value,
  )


# Of these any option is a setting; what it may be is checked with the others.
_GROUPS = tuple(name for name, field in FIELDS.items() if field.is_group)
# --config.train.num_runs=3, -config.train.num_runs 3, --noconfig.retrain.full.
_OVERRIDE = re.compile(r'^--?(?:no)?config\.([^=]*)(=|$)')


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
  arguments = list(argv[1:])
  if '--' in arguments:
    arguments = arguments[: arguments.index('--')]
  if sum(_is_flag('config', argument) for argument in arguments) > 1:
    raise ConfigError(
      '--config is given more than once; allowed: one experiment, and '
      '--config.SECTION.FIELD=VALUE'
    )
  if command_line.asks_for_help(arguments):
    named = _value_of('config.plugins', arguments).strip('(),')
    load_plugins([name.strip(' \'"') for name in named.split(',') if name])
    print(_help())
    sys.exit(0)
  for argument in arguments:
    if override := _OVERRIDE.match(argument):
      _check_setting(override[1])
  argv = [*argv[:1], *_ready(arguments), *argv[1 + len(arguments) :]]
  path = (_value_of('config', argv) or '').partition(':')[0]
  _ARGV[:] = argv
  try:
    rest = flags.FLAGS(list(argv))
  except flags.UnrecognizedFlagError as error:
    name = error.flagname
    if name.startswith('config.'):  # Without --config no setting is a flag.
      raise ConfigError(_missing_config()) from error
    raise ConfigError(command_line.unknown_flag(name)) from error
  except flags.IllegalFlagValueError as error:
    raise ConfigError(command_line.wrong_value(error, path)) from error
  except flags.Error as error:
    raise ConfigError(command_line.one_line(str(error))) from error
  except Exception as error:  # A config file may raise anything.
    raise ConfigError(command_line.config_file_error(error, path)) from error
  _check_config(flags.FLAGS['config'].value, path)
  return rest


def _ready(arguments: list[str]) -> list[str]:
  """The command line for ml_collections.

  With a file that exists for --config, which is the workdir's own if there is
  none, and every tuple given once.
  """
  position = _position_of('config', arguments)
  if position is not None:
    value = experiments.find(_value_of('config', arguments))
    separate = '=' not in arguments[position]
    arguments = [
      *arguments[:position],
      f'--config={value}',
      *arguments[position + 1 + separate :],
    ]
  elif workdir := _value_of('workdir', arguments):
    file = Workdir.at(workdir).config
    if file.exists():
      value = experiments.find(os.fspath(file))
      arguments = [f'--config={value}', *arguments]
  return _quoted(_last_of_each(arguments))


def _quoted(arguments: list[str]) -> list[str]:
  """Takes a,b for ('a','b'), of which ml_collections makes one name or none."""
  quoted = list(arguments)
  for position, argument in enumerate(arguments):
    if not (override := _tuple_override(argument)):
      continue
    flag, value = override[0], argument[override.end() :]
    if not override[2]:  # The value stands apart.
      position, flag = position + 1, ''
      value = ''.join(arguments[position : position + 1])
    if re.fullmatch(r'[A-Za-z_][^\'"()\[\]{}]*', value):
      names = (name.strip() for name in value.split(','))
      quoted[position] = f'{flag}{tuple(filter(None, names))!r}'
  return quoted


def _last_of_each(arguments: list[str]) -> list[str]:
  """Keeps the last of repeated tuple flags, which ml_collections would join."""
  kept, seen = list(arguments), set()
  for position in reversed(range(len(arguments))):
    if not (override := _tuple_override(arguments[position])):
      continue
    if override[1] in seen:  # The value may stand apart.
      del kept[position : position + (1 if override[2] else 2)]
    seen.add(override[1])
  return kept


def _tuple_override(argument: str) -> re.Match | None:
  """The match of an argument that sets a setting whose values are tuples."""
  override = _OVERRIDE.match(argument)
  field = FIELDS.get(override[1]) if override else None
  return override if field and isinstance(field.default, tuple) else None


def _position_of(flag: str, arguments: Sequence[str]) -> int | None:
  for position, argument in enumerate(arguments):
    if _is_flag(flag, argument):
      return position
  return None


def _is_flag(flag: str, argument: str) -> bool:
  return argument.partition('=')[0] in (f'--{flag}', f'-{flag}')


def _value_of(flag: str, arguments: Sequence[str]) -> str:
  """The value of a flag before flags are parsed, or ''."""
  position = _position_of(flag, arguments)
  if position is None:
    return ''
  _, equals, value = arguments[position].partition('=')
  return value if equals else ''.join(arguments[position + 1 : position + 2])


def _check_config(config: object, path: str | None) -> None:
  if not path or isinstance(config, ml_collections.ConfigDict):
    return
  try:
    # Of a file that could not be read, ml_collections keeps an object that
    # raises the error on any use.
    hasattr(config, 'items')
  except OSError as error:
    raise ConfigError(
      command_line.one_line(f'--config: {path}: {error}')
    ) from error
  raise ConfigError(
    f'--config: get_config() of {path} must return a '
    f'ml_collections.ConfigDict; it returned {config!r:.100}'
  )


def _check_setting(name: str) -> None:
  if name.startswith('sweep.'):
    return _check_setting(name.removeprefix('sweep.'))
  if name in FIELDS or any(name.startswith(f'{one}.') for one in _GROUPS):
    return
  below = [field for field in FIELDS if field.startswith(f'{name}.')]
  if below:
    raise ConfigError(
      f'config.{name} is a group of settings; set one of them, such as '
      f'--config.{below[0]}=VALUE'
    )
  raise ConfigError(f'config.{name} is not a setting{closest(name, FIELDS)}')


def _missing_config() -> str:
  workdir = _value_of('workdir', _ARGV) or '--workdir'
  return (
    f'--config is missing, and {workdir} has no config.json to take the '
    f'settings from; allowed: a file, or one of '
    f'{", ".join(experiments.shipped())}'
  )


def _help() -> str:
  return help_text(
    [(flag.name, flag.default, flag.help) for flag in command_line.own_flags()],
    experiments.shipped(),
  )
