"""Signal handling before the program's imports, which take seconds."""

import os
import signal
import sys

from datadiet.errors import EXIT_STOPPED


def stop_while_importing() -> None:
  """Makes SIGTERM and SIGINT end the process with exit code 75.

  For the time of the imports, when nothing is unsaved; handlers that save take
  over afterwards.
  """
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda *unused: os._exit(EXIT_STOPPED))


def keep_to_the_cpu_for_forecasts() -> None:
  """With --compile_for, JAX computes on the CPU and asks for no TPU.

  Where the compiler for TPUs is installed, JAX asks the metadata server of a
  TPU host for its neighbours as soon as it is imported, for minutes where there
  is none.
  """
  if any(word.lstrip('-').startswith('compile_for') for word in sys.argv[1:]):
    os.environ['JAX_PLATFORMS'] = 'cpu'
    os.environ.setdefault('TPU_SKIP_MDS_QUERY', '1')
    os.environ.setdefault('ALLOW_MULTIPLE_LIBTPU_LOAD', '1')
