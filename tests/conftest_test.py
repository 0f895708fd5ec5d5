"""Tests that the suite passes wherever it is started."""

import signal
import subprocess
import sys

import pytest

from tests import running

_CHILD = 'trap "echo heard" HUP INT; kill -HUP $$; kill -INT $$; echo end'
_PARENT = f"""
import signal, subprocess
for number in (signal.SIGHUP, signal.SIGINT):
  signal.signal(number, signal.SIG_IGN)
import tests.conftest
subprocess.run(['bash', '-c', {_CHILD!r}], check=True)
signal.raise_signal(signal.SIGHUP)
"""


def test_children_take_signals_that_nohup_ignores():
  ended = subprocess.run(
    [sys.executable, '-c', _PARENT],
    cwd=running.REPOSITORY,
    capture_output=True,
    text=True,
    check=True,  # The tests themselves go on.
  )
  assert ended.stdout.split() == ['heard', 'heard', 'end']


@pytest.mark.parametrize('number', [signal.SIGHUP, signal.SIGINT])
def test_signals_that_are_not_ignored_keep_their_handlers(number):
  script = f"""
import signal
before = signal.getsignal({int(number)})
import tests.conftest
assert signal.getsignal({int(number)}) == before
"""
  subprocess.run(
    [sys.executable, '-c', script], cwd=running.REPOSITORY, check=True
  )
