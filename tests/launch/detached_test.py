"""Tests of detached.sh with real programs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / 'launch' / 'detached.sh'

SLOW = """
import signal, sys, time
def stop(*_):
  print('saving', flush=True)
  sys.exit(75)
signal.signal(signal.SIGTERM, stop)
print('started', flush=True)
time.sleep(50)
"""


def call(directory, *arguments, **environment):
  return subprocess.run(
    ['bash', SCRIPT, *arguments],
    cwd=directory,
    env={**os.environ, **environment},
    capture_output=True,
    text=True,
    timeout=30,
  )


def wait_for_log(directory, text):
  deadline = time.monotonic() + 20
  while text not in (directory / 'program.log').read_text():
    assert time.monotonic() < deadline
    time.sleep(0.02)


def pid_of(directory):
  return int((directory / 'program.pid').read_text())


def test_output_and_exit_code(tmp_path):
  program = 'import sys; print(sys.argv[1]); sys.exit(2)'
  started = call(tmp_path, 'start', sys.executable, '-c', program, 'a b')
  assert started.returncode == 0
  followed = call(tmp_path, 'follow')
  assert (followed.returncode, followed.stdout) == (2, 'a b\n')
  # Once more, as after a broken connection.
  assert call(tmp_path, 'follow').returncode == 2


def test_it_outlives_the_connection_and_says_how_it_ended(tmp_path):
  call(tmp_path, 'start', sys.executable, '-c', SLOW)
  wait_for_log(tmp_path, 'started')
  # To all of it, as when the machine shuts down.
  os.killpg(pid_of(tmp_path), signal.SIGTERM)
  followed = call(tmp_path, 'follow')
  assert followed.returncode == 75
  assert followed.stdout == 'started\nsaving\n'


def test_a_second_start_ends_the_first(tmp_path):
  call(tmp_path, 'start', sys.executable, '-c', SLOW)
  wait_for_log(tmp_path, 'started')
  first = pid_of(tmp_path)
  call(tmp_path, 'start', sys.executable, '-c', 'print("second")')
  followed = call(tmp_path, 'follow')
  assert (followed.returncode, followed.stdout) == (0, 'second\n')
  assert not Path(f'/proc/{first}').exists()


def test_killed_with_its_shell(tmp_path):
  call(tmp_path, 'start', sys.executable, '-c', SLOW)
  wait_for_log(tmp_path, 'started')
  os.killpg(pid_of(tmp_path), signal.SIGKILL)
  assert call(tmp_path, 'follow').returncode == 137


def test_help(tmp_path):
  shown = call(tmp_path, '--help')
  assert shown.returncode == 0
  assert shown.stdout.startswith('Runs a program that outlives')
  assert call(tmp_path).returncode == 1


def test_what_an_earlier_slice_left_in_the_environment_is_forgotten(tmp_path):
  program = """
import os
print(*sorted(
  name for name in os.environ
  if name.startswith(('MEGASCALE_', 'TPU_', 'JAX_COORDINATOR'))
))
"""
  call(
    *(tmp_path, 'start', sys.executable, '-c', program),
    MEGASCALE_COORDINATOR_ADDRESS='10.0.0.9:8080',
    MEGASCALE_NUM_SLICES='2',
    TPU_WORKER_HOSTNAMES='10.0.0.9,10.0.0.8',
    TPU_WORKER_ID='1',
    JAX_COORDINATOR_PORT='8476',
  )
  followed = call(tmp_path, 'follow')
  assert followed.stdout == 'JAX_COORDINATOR_PORT\n'
