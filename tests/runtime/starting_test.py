"""Tests of a program that is stopped before its imports are done."""

import os
import signal
import subprocess
import sys
import time

import pytest

from datadiet.errors import EXIT_STOPPED
from tests import running

# In the place of a library that is imported early; never ends.
_SLOW = """
import pathlib, time
pathlib.Path({flag!r}).touch()
time.sleep(60)
"""


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize('module', ['datadiet', 'datadiet.main'])
def test_a_signal_while_importing_is_a_stop(tmp_path, module, number):
  (tmp_path / 'absl').mkdir()
  flag = tmp_path / 'importing'
  source = _SLOW.format(flag=str(flag))
  (tmp_path / 'absl' / '__init__.py').write_text(source)
  process = subprocess.Popen(
    [sys.executable, '-m', module],
    cwd=running.REPOSITORY,
    env={**os.environ, 'PYTHONPATH': str(tmp_path)},
  )
  while not flag.exists():
    assert process.poll() is None
    time.sleep(0.01)
  process.send_signal(number)
  assert process.wait(timeout=60) == EXIT_STOPPED
