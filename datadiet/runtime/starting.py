"""Signal handling before the program's imports, which take seconds."""

import os
import signal

from datadiet.errors import EXIT_STOPPED


def stop_while_importing() -> None:
  """Makes SIGTERM and SIGINT end the process with exit code 75.

  For the time of the imports, when nothing is unsaved; handlers that save take
  over afterwards.
  """
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *unused: os._exit(EXIT_STOPPED))
