"""The command `datadiet`, also `python -m datadiet`.

Without a command it runs `datadiet.main`; each command is a module of its own.
"""

import importlib
import sys

from datadiet.errors import ConfigError, DataDietError, report
from datadiet.runtime import starting

# The command -> the module whose `main` runs it.
COMMANDS = {
  'import': 'datadiet.importer',
  'export': 'datadiet.export',
  'review': 'datadiet.review',
  'apply': 'datadiet.apply',
}


def main() -> None:
  """Runs the program on the command line and exits."""
  starting.stop_while_importing()
  starting.keep_to_the_cpu_for_forecasts()
  module = 'datadiet.main'
  if sys.argv[1:] and not sys.argv[1].startswith('-'):
    command = sys.argv.pop(1)
    if command not in COMMANDS:
      sys.exit(report(_unknown(command)))
    module = COMMANDS[command]
  try:
    # Imported late: this takes seconds.
    program = importlib.import_module(module)
  except DataDietError as error:  # It needs a library that is not there.
    sys.exit(report(error))
  program.main()


def _unknown(command: str) -> ConfigError:
  from datadiet.settings import closest

  return ConfigError(
    f'{command!r} is not a command; allowed: {", ".join(COMMANDS)}, or none to '
    'run an experiment, whose settings are given as --config.SECTION.FIELD='
    f'VALUE{closest(command, COMMANDS)}'
  )


if __name__ == '__main__':
  main()
