"""Opens a workdir's report for review; decisions are saved as one goes.

    datadiet review WORKDIR [--port=8765]

It prints an address for a browser on this machine, with a token that nobody
else knows, and writes every decision to WORKDIR/review/decisions.csv at once,
for `datadiet apply`. Ctrl-C ends it; started again, it goes on with what was
decided. Exit codes: 0 done, 1 failed, 2 a wrong flag.
"""

import signal
import sys

from absl import flags

from datadiet.errors import ConfigError, DataDietError, report
from datadiet.runtime import extras

try:
  extras.require('datadiet review', 'pandas')
except DataDietError as _error:
  if __name__ != '__main__':
    raise
  sys.exit(report(_error))

from datadiet.config import command_line
from datadiet.reviewing import serve_review
from datadiet.workdir import storage

_PORT = flags.DEFINE_integer('port', 0, 'The port; 0 for any that is free.')


def _interrupt(*unused: object) -> None:
  raise KeyboardInterrupt


def _main(argv: list[str]) -> int:
  workdir = command_line.only_argument(argv, 'WORKDIR')
  if storage.is_remote(workdir):
    raise ConfigError(
      f'WORKDIR: {workdir!r} is not allowed; allowed: a folder on this machine'
    )
  # Every decision is on disk before it is answered, so any time is good to end.
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, _interrupt)
  serve_review(workdir, _PORT.value, lambda text: print(text, flush=True))
  return 0


def main() -> None:
  """Runs the program on the command line and exits."""
  command_line.run_command(_main, __doc__)


if __name__ == '__main__':
  main()
