"""Tests several processes as one: the same results, stops, ends, refusals."""

import os
import signal
import time

import pytest

from datadiet import distributed, preemption
from datadiet.errors import ConfigError
from tests import running

_CHANGES = {
  'train__num_runs': 4,
  'train__num_steps': 220,
  'train__schedule_steps': 220,
  'score__steps': (220,),
}


@pytest.fixture(scope='module')
def compilations(tmp_path_factory):
  return str(tmp_path_factory.mktemp('compilations'))


def _flags(workdir, compilations, **changes):
  return running.tiny_flags(
    workdir,
    compilation_cache_dir=compilations,
    stages='train,score,select,retrain,report',
    **{**_CHANGES, **changes},
  )


@pytest.fixture(scope='module')
def alone(tmp_path_factory, compilations):
  """The workdir of one process with four devices."""
  env = running.environment(tmp_path_factory.mktemp('home'), num_devices=4)
  workdir = tmp_path_factory.mktemp('alone') / 'workdir'
  done = running.run_main(_flags(workdir, compilations), env)
  assert done.returncode == 0, done.stderr
  return workdir


@pytest.fixture
def env(tmp_path):
  """The environment of two processes with two devices each."""
  home = tmp_path / 'home'
  home.mkdir()
  return running.environment(home, num_devices=2)


def _differences(expected, found):
  names = expected.keys() | found.keys()
  return {n for n in names if expected.get(n) != found.get(n)}


def test_two_processes_stopped_once_give_what_one_gives(
  alone, env, compilations, tmp_path
):
  workdir = tmp_path / 'workdir'
  flags = _flags(workdir, compilations)
  pair = running.Pair(flags, env)
  checkpoint = workdir / 'train' / 'run_03' / 'checkpoints' / '44'
  while pair.is_running() and not checkpoint.exists():
    time.sleep(0.01)
  pair.processes[1].send_signal(signal.SIGTERM)
  codes = pair.wait()
  assert codes == [preemption.EXIT_CODE] * 2, pair.log(0) + pair.log(1)
  steps = {
    max(
      int(path.name)
      for path in (workdir / f'train/run_0{run}/checkpoints').iterdir()
    )
    for run in range(4)
  }
  assert len(steps) == 1, 'all runs stop at the same step'

  pair = running.Pair(flags, env)
  codes = pair.wait()
  assert codes == [0, 0], pair.log(0) + pair.log(1)
  assert f'Going on from step {steps.pop()}' in pair.log(0)
  # A run sits on one device in both: bitwise.
  assert _differences(running.results(alone), running.results(workdir)) == set()
  assert (workdir / 'report' / 'index.html').exists()
  # One tells how it goes.
  assert 'Results: ' in pair.log(0)
  assert 'images/s' not in pair.log(1)


def test_a_run_split_over_processes(env, compilations, tmp_path):
  """One run, its batch on all devices of both."""
  workdir = tmp_path / 'workdir'
  flags = _flags(
    workdir,
    compilations,
    train__num_runs=1,
    train__num_steps=22,
    train__schedule_steps=22,
    score__steps=(22,),
    select__fractions=(),
  )
  pair = running.Pair(flags, env)
  assert pair.wait() == [0, 0], pair.log(0) + pair.log(1)
  assert (workdir / 'scores' / 'mean' / 'step_22' / 'grand.npy').exists()


@pytest.mark.parametrize('victim', [0, 1])
def test_when_one_dies_the_other_ends_within_a_minute(
  victim, env, compilations, tmp_path
):
  workdir = tmp_path / 'workdir'
  pair = running.Pair(_flags(workdir, compilations), env)
  checkpoint = workdir / 'train' / 'run_03' / 'checkpoints' / '22'
  while pair.is_running() and not checkpoint.exists():
    time.sleep(0.01)
  pair.processes[victim].kill()
  start = time.monotonic()
  codes = pair.wait()
  assert time.monotonic() - start < 60
  assert codes[victim] == -signal.SIGKILL
  assert codes[1 - victim] not in (0, preemption.EXIT_CODE)


def test_an_error_in_one_is_shown_and_ends_all(env, compilations, tmp_path):
  workdir = tmp_path / 'workdir'
  flags = _flags(workdir, compilations, optimizer__learning_rate=1e6)
  start = time.monotonic()
  pair = running.Pair(flags, env)
  codes = pair.wait()
  assert time.monotonic() - start < 120
  assert 0 not in codes
  logs = pair.log(0) + pair.log(1)
  assert 'the loss is not finite from step ' in logs


@pytest.mark.parametrize(
  'given, message',
  [
    (('host:1', None, 0), 'go together; allowed: all three or none'),
    (('host', 2, 0), "--coordinator_address: 'host' is not allowed"),
    (('host:1', 2, 2), '--process_id: 2 is not allowed; allowed: from 0 to'),
  ],
)
def test_flags_that_do_not_fit(given, message):
  with pytest.raises(ConfigError, match=message):
    distributed.initialize(*given)


@pytest.mark.parametrize(
  'variables, expected',
  [
    ({}, []),
    ({'SLURM_JOB_ID': '7', 'SLURM_NTASKS': '4'}, []),
    ({'SLURM_PROCID': '1', 'SLURM_STEP_NUM_TASKS': '1'}, []),
    ({'SLURM_PROCID': '1', 'SLURM_STEP_NUM_TASKS': '4'}, ['Slurm']),
    ({'OMPI_COMM_WORLD_SIZE': '2'}, ['Open MPI']),
  ],
)
def test_environments_that_say_who_takes_part(variables, expected, monkeypatch):
  for name in list(os.environ):
    if name.startswith(('SLURM_', 'OMPI_')):
      monkeypatch.delenv(name)
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  found = [name for name, here in distributed._clusters().items() if here]
  assert found == expected


def test_one_process_waits_for_nobody():
  assert distributed.decide(lambda: [1, 'a']) == [1, 'a']
  assert distributed.any_process(True) is True
  assert distributed.one_a_host_first(lambda: 3) == 3
  distributed.barrier('nobody')
  assert distributed.is_first() and not distributed.has_peers()
