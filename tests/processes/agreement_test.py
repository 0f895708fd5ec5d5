"""Tests that all processes end alike when one is stopped or fails alone."""

import signal
import socket
import subprocess
import sys
import time

import pytest

from datadiet.errors import EXIT_STOPPED
from tests import running

# What a process does, with the real end of the program around it.
_PROGRAM = """
import os, pathlib, signal, sys, threading, time
from datadiet import pipeline
from datadiet.runtime import ending, processes, stopping
from datadiet.errors import Preempted

number, num_processes, port, case, saved = sys.argv[1:]
number = int(number)
# Shorter than what they have to wait for here.
stopping._PATIENCE = ending._SAVE_SECONDS = 1.0
if case == 'while all agree':  # Before anybody has heard of the other way.
  ending._LISTEN_SECONDS = 60.0

def load(settings):
  if number == 0:  # Reads first; the other waits for it.
    raise Preempted

def stop_soon():
  threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGTERM)).start()

def work():
  processes.barrier('all are here')
  if case == 'between stages':
    stopping._requested = number == 1
    processes.stop_if_any_is_asked_to()
  elif case == 'reading':
    pipeline.load_dataset = load
    processes.one_a_host_first(lambda: pipeline._load(None))
  elif case == 'while all agree':
    if number == 0:
      os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(0.1)
    processes.stop_if_any_is_asked_to()
  elif case == 'one saves for long':
    with stopping.unsaved_work():
      stopping._requested = number == 1
      assert processes.any_process(stopping.stop_requested())
      if number == 1:
        time.sleep(4)
        pathlib.Path(saved).touch()
    if number == 0:
      stop_soon()
    raise Preempted
  elif case == 'at the end':
    if number == 0:
      stop_soon()
    else:
      time.sleep(2)
  elif case == 'at once':
    if number == 1:
      os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(100)
    processes.barrier('the other never comes')

def run(argv):
  processes.initialize(f'localhost:{port}', int(num_processes), number)
  return ending.run_to_end(work)

sys.exit(ending.guarded(run, lambda error: None)([]))
"""


def _free_port():
  with socket.socket() as free:
    free.bind(('localhost', 0))
    return free.getsockname()[1]


def _ends(case, num_processes, tmp_path):
  """Exit codes and logs of processes that all ran the program."""
  env = running.environment(tmp_path)
  settings = [str(num_processes), str(_free_port()), case]
  group = [
    subprocess.Popen(
      [
        *(sys.executable, '-c', _PROGRAM, str(number)),
        *settings,
        str(tmp_path / 'saved'),
      ],
      cwd=running.REPOSITORY,
      env=env,
      stderr=subprocess.PIPE,
      text=True,
    )
    for number in range(num_processes)
  ]
  try:
    logs = [process.communicate(timeout=60)[1] for process in group]
  finally:
    for process in group:
      process.kill()
  return [process.returncode for process in group], logs


@pytest.mark.parametrize(
  'case', ['between stages', 'while all agree', 'reading', 'at once']
)
def test_a_stop_of_one_is_a_stop_of_both(case, tmp_path):
  codes, logs = _ends(case, 2, tmp_path)
  assert codes == [EXIT_STOPPED] * 2, logs


@pytest.mark.parametrize('case', ['between stages', 'at once'])
def test_a_stop_of_one_is_a_stop_of_three(case, tmp_path):
  codes, logs = _ends(case, 3, tmp_path)
  assert codes == [EXIT_STOPPED] * 3, logs


def test_all_wait_for_one_that_saves_for_long(tmp_path):
  """Also one that is asked to stop itself meanwhile."""
  codes, logs = _ends('one saves for long', 2, tmp_path)
  assert codes == [EXIT_STOPPED] * 2, logs
  assert (tmp_path / 'saved').exists()


def test_a_stop_of_one_that_is_done_comes_too_late(tmp_path):
  codes, logs = _ends('at the end', 2, tmp_path)
  assert codes == [0, 0], logs


@pytest.mark.parametrize('victim', [0, 1])
def test_an_error_in_one_alone_is_shown_and_ends_both(victim, tmp_path):
  env = running.environment(tmp_path)
  flags = running.tiny_flags(tmp_path / 'workdir', stages='train')
  # Files of that process stay small: what it writes first is too large.
  limited = ['bash', '-c', 'ulimit -f 8; exec "$@"', 'bash']
  pair = running.Pair(flags, env, prefixes={victim: limited})
  shown = time.monotonic()
  while pair.is_running():
    if 'File too large' not in pair.log(victim):
      shown = time.monotonic()
    time.sleep(0.05)
  codes = pair.wait(60)
  assert time.monotonic() - shown < 60
  assert 'File too large' in pair.log(victim)
  assert codes[victim] == 1, pair.log(0) + pair.log(1)
  assert codes[1 - victim] not in (0, EXIT_STOPPED)


def test_a_stop_while_others_are_waited_for(tmp_path):
  port = _free_port()
  process = subprocess.Popen(
    [
      *(sys.executable, '-m', 'datadiet.main'),
      f'--coordinator_address=localhost:{port}',
      *('--num_processes=2', '--process_id=0'),
      *running.tiny_flags(tmp_path / 'workdir'),
    ],
    cwd=running.REPOSITORY,
    env=running.environment(tmp_path),
    stderr=subprocess.DEVNULL,
  )
  try:
    while process.poll() is None:
      with socket.socket() as probe:
        if not probe.connect_ex(('localhost', port)):
          break
      time.sleep(0.05)
    time.sleep(1.0)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == EXIT_STOPPED
  finally:
    process.kill()


def test_a_stop_while_modules_are_imported(tmp_path):
  process = subprocess.Popen(
    [sys.executable, '-m', 'datadiet.main', '--help'],
    cwd=running.REPOSITORY,
    env=running.environment(tmp_path),
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
  )
  try:
    while process.poll() is None and not _catches(process.pid):
      time.sleep(0.001)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == EXIT_STOPPED
  finally:
    process.kill()


def _catches(pid, number=signal.SIGTERM):
  with open(f'/proc/{pid}/status') as file:
    for line in file:
      if line.startswith('SigCgt:'):
        return bool(int(line.split()[1], 16) >> (number - 1) & 1)
  return False
