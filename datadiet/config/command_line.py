"""What is wrong with a command line, in a sentence."""

import re
import sys
from collections.abc import Callable, Iterable, Sequence

from absl import app, flags

from datadiet.config import FIELDS
from datadiet.errors import ConfigError
from datadiet.runtime import ending
from datadiet.settings import closest
from datadiet.workdir import storage

_HELP = re.compile('--?(help|helpfull|helpshort|h)(=true)?')
_WRONG_VALUE = re.compile(r'^flag --([\w.]+)=(.*?): (.*)$', re.DOTALL)


def asks_for_help(arguments: Iterable[str]) -> bool:
  """Whether one of the arguments is --help."""
  return any(_HELP.fullmatch(argument) for argument in arguments)


def own_flags() -> list[flags.Flag]:
  """The flags that this program's modules define, settings left out."""
  return [
    flag
    for module, defined in flags.FLAGS.flags_by_module_dict().items()
    if module.startswith('datadiet.') or module == sys.argv[0]
    for flag in defined
    if not flag.name.startswith('config.')
  ]


def unknown_flag(name: str) -> str:
  """That there is no such flag, and the closest flag or setting."""
  hint = closest(name, [flag.name for flag in own_flags()] + ['verbosity'])
  meant = [full for full in FIELDS if name in (full, full.split('.')[-1])]
  if meant and 'config' in flags.FLAGS:
    full = f'--config.{meant[0]}'
    hint = closest(full, [full])
  return f'--{name} is not a flag{hint}'


def parse_command(argv: Sequence[str], summary: str) -> list[str]:
  """Parses the flags of a command that takes no settings.

  Args:
    argv: the command line with the program's name.
    summary: of the command, for --help, which ends the program.

  Returns:
    What is left of it: the program's name and arguments that are no flags.

  Raises:
    ConfigError: for an unknown flag (names the closest) or a wrong value.
  """
  show_help_if_asked(argv, summary, [flag.name for flag in own_flags()])
  try:
    return flags.FLAGS(list(argv))
  except flags.UnrecognizedFlagError as error:
    raise ConfigError(unknown_flag(error.flagname)) from error
  except flags.IllegalFlagValueError as error:
    raise ConfigError(wrong_value(error, None)) from error


def run_command(main: Callable[[list[str]], int], summary: str) -> None:
  """Runs a command that takes no settings, and exits.

  Args:
    main: takes what `parse_command` leaves and returns the exit code.
    summary: of the command, for --help.
  """
  app.run(
    ending.guarded(main, storage.as_store_error),
    flags_parser=ending.parse_or_exit(
      lambda argv: parse_command(argv, summary)
    ),
  )


def only_argument(argv: Sequence[str], name: str) -> str:
  """The one argument of a command that is no flag.

  Args:
    argv: what `parse_command` left.
    name: of the argument, as the command's help has it.

  Raises:
    ConfigError: if there is none, or more than one.
  """
  if len(argv) != 2 or not argv[1]:
    found = ' '.join(map(repr, argv[1:])) or 'none'
    raise ConfigError(f'one argument, {name}, is needed; there is {found}')
  return argv[1]


def required(flag: flags.FlagHolder[str | None]) -> str:
  """The value of a flag that a command needs.

  Raises:
    ConfigError: if it was not given.
  """
  if not flag.value:
    raise ConfigError(f'--{flag.name} is missing')
  return flag.value


def show_help_if_asked(
  argv: Sequence[str], summary: str, names: Iterable[str]
) -> None:
  """Prints a command's help and ends the program, if --help is given.

  Args:
    argv: the command line with the program's name.
    summary: of the command.
    names: of the flags to be shown.
  """
  if not asks_for_help(argv[1:]):
    return
  print(summary)
  for name in names:
    print(f'  --{name}: {flags.FLAGS[name].help}')
  sys.exit(0)


def wrong_value(error: Exception, path: str | None) -> str:
  """What is wrong with the value of a flag, and what is allowed.

  Args:
    error: of absl.
    path: of the config file, if there is one.
  """
  match = _WRONG_VALUE.match(str(error))
  name, value, reason = match.groups() if match else ('', '', str(error))
  setting = name.removeprefix('config.')
  if setting in FIELDS:
    return (
      f'config.{setting}: {value!r} is not allowed; allowed: '
      f'{FIELDS[setting].allowed}'
    )
  if name == 'config':
    return config_file_error(error, path)
  return one_line(f'--{name}: {value!r} is not allowed; {reason}')


def config_file_error(error: BaseException, path: str | None) -> str:
  """Names the file, the line where it went wrong, and the reason."""
  # ml_collections wraps some errors in others that quote the traceback.
  chain = [error]
  while following := chain[-1].__cause__ or chain[-1].__context__:
    chain.append(following)
  cause = next((one for one in reversed(chain) if _line_in(path, one)), error)
  line = _line_in(path, cause)
  where = f'{path}, line {line}' if line else path
  return one_line(f'--config: {where}: {type(cause).__name__}: {cause}')


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


def one_line(text: str) -> str:
  """A text without line breaks and double blanks."""
  return ' '.join(text.split())
