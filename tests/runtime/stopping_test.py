"""Tests datadiet.runtime.stopping."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from datadiet.errors import EXIT_STOPPED, Preempted
from datadiet.runtime import stopping


@pytest.fixture(autouse=True)
def _no_request_is_left(monkeypatch):
  """Other tests of this process would stop."""
  monkeypatch.setattr(stopping, '_requested', False)


def _ask(number):
  """Sends this process a signal, and lets the watching thread see it."""
  signal.raise_signal(number)
  time.sleep(0.3)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_and_the_work_goes_on(number):
  with stopping.handle_signals(), stopping.unsaved_work():
    assert not stopping.stop_requested()
    stopping.raise_if_requested()
    _ask(number)
    assert stopping.stop_requested()
    with pytest.raises(Preempted):
      stopping.raise_if_requested()


def test_a_new_block_starts_without_a_request():
  with stopping.handle_signals(), stopping.unsaved_work():
    _ask(signal.SIGTERM)
  with stopping.handle_signals(), stopping.unsaved_work():
    assert not stopping.stop_requested()


def test_earlier_handlers_come_back():
  before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
  with pytest.raises(KeyError), stopping.handle_signals():
    assert signal.getsignal(signal.SIGTERM) != before[0]
    raise KeyError
  after = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
  assert after == before


def test_another_process_is_followed_once_all_is_saved(monkeypatch):
  ended = []
  monkeypatch.setattr(stopping, 'end_at_once', lambda: ended.append(1))
  follower = threading.Thread(
    target=stopping.follow_peers, args=(lambda save: save(),)
  )
  with stopping.handle_signals():
    with stopping.unsaved_work():
      follower.start()
      time.sleep(0.3)
      assert stopping.stop_requested()
      _ask(signal.SIGTERM)  # The first one: a second would end the process.
      assert not ended
    follower.join(5)
    assert ended == [1]


def test_another_process_is_followed_in_the_end(monkeypatch):
  """Where this one hangs, as it waits for the one that is gone."""
  ended = []
  monkeypatch.setattr(stopping, 'end_at_once', lambda: ended.append(1))
  monkeypatch.setattr(stopping, '_PATIENCE', 0.2)
  with stopping.handle_signals(), stopping.unsaved_work():
    stopping.follow_peers(lambda save: save())
    assert ended == [1]


def test_a_second_signal_ends_the_process_at_once():
  program = (
    'import signal\n'
    'from datadiet.runtime import stopping\n'
    'with stopping.handle_signals(), stopping.unsaved_work():\n'
    '  signal.raise_signal(signal.SIGTERM)\n'
    '  print("once", flush=True)\n'
    '  signal.raise_signal(signal.SIGINT)\n'
    '  print("twice", flush=True)\n'
  )
  done = subprocess.run(
    [sys.executable, '-c', program],
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.stdout == 'once\n'
  assert done.returncode == EXIT_STOPPED == 75
  assert 'SIGTERM' in done.stderr


# Deep in native code, where no handler of Python's is called.
_BUSY = """
import sys, time
import numpy as np
from datadiet.runtime import stopping
with stopping.handle_signals(
  lambda: time.sleep(100 if sys.argv[1] == 'told' else 0)
):
  if sys.argv[1] == 'unsaved':
    stopping._num_unsaved += 1
  print('busy', flush=True)
  np.linalg.svd(np.random.default_rng(0).normal(size=(1800, 1800)))
  print('asked' if stopping.stop_requested() else 'not asked', flush=True)
"""


@pytest.mark.parametrize('work', ['none', 'unsaved'])
def test_without_unsaved_work_a_signal_ends_native_code_at_once(work):
  process = _start_busy(work)
  process.send_signal(signal.SIGTERM)
  sent = time.monotonic()
  output, errors = process.communicate(timeout=120)
  if work == 'unsaved':
    assert output == 'asked\n' and process.returncode == 0
  else:
    assert output == '' and process.returncode == EXIT_STOPPED
    assert 'Got SIGTERM: stopped, nothing had to be saved' in errors
    assert time.monotonic() - sent < 2


def test_a_second_signal_ends_it_while_others_are_told():
  process = _start_busy('told')
  process.send_signal(signal.SIGTERM)
  time.sleep(0.3)
  assert process.poll() is None
  process.send_signal(signal.SIGTERM)
  process.communicate(timeout=2)
  assert process.returncode == EXIT_STOPPED


def _start_busy(work):
  process = subprocess.Popen(
    [sys.executable, '-c', _BUSY, work],
    env={**os.environ, 'PYTHONPATH': os.pathsep.join(sys.path)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert process.stdout.readline() == 'busy\n'
  time.sleep(0.5)
  return process
