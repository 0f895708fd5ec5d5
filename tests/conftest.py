"""Sets up every test: 8 virtual CPU devices, signals as a terminal has them."""

import os
import signal

from tests import speed

os.environ['JAX_PLATFORMS'] = 'cpu'
os.environ['XLA_FLAGS'] = (
  os.environ.get('XLA_FLAGS', '') + ' --xla_force_host_platform_device_count=8'
)


def hear_ignored_signals() -> None:
  """Lets child processes take SIGHUP and SIGINT, which nohup and & ignore.

  An ignored signal stays so in children, where bash cannot even trap it; one
  with a handler is reset to its default there. The tests go on ignoring it.
  """
  for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) is signal.SIG_IGN:
      signal.signal(number, lambda *unused: None)


hear_ignored_signals()


def pytest_collection_modifyitems(items):
  """Marks what `make test-fast` leaves out."""
  for item in items:
    for mark in speed.marks_of(item.nodeid):
      item.add_marker(mark)
