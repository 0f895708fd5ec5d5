"""Tests several processes as one: the same results, stops, and ends."""

import signal
import time

import numpy as np
import pytest

from datadiet.errors import EXIT_STOPPED
from tests import running
from tests.data import formats

_CHANGES = {
  'train__num_runs': 4,
  'train__num_steps': 440,
  'train__schedule_steps': 440,
  'train__checkpoint_every_steps': 44,
  'score__steps': (440,),
}


@pytest.fixture(scope='module')
def compilations(tmp_path_factory):
  return str(tmp_path_factory.mktemp('compilations'))


def _flags(workdir, compilations, **changes):
  return running.tiny_flags(
    workdir,
    compilation_cache_dir=compilations,
    stages='train,score,select',
    **{**_CHANGES, **changes},
  )


@pytest.fixture(scope='module')
def quiet(tmp_path_factory, compilations):
  """The workdir of a pair that nothing disturbs."""
  env = running.environment(tmp_path_factory.mktemp('home'), num_devices=2)
  workdir = tmp_path_factory.mktemp('quiet') / 'workdir'
  pair = running.Pair(_flags(workdir, compilations), env)
  assert pair.wait() == [0, 0], pair.log(0) + pair.log(1)
  # One tells how it goes.
  assert 'Results: ' in pair.log(0)
  assert 'images/s' not in pair.log(1)
  assert 'OCDBT' not in pair.log(1)
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


def _stop_a_pair(flags, env, workdir):
  """Stops a pair while it trains; the step that all its runs were saved at."""
  pair = running.Pair(flags, env)
  checkpoint = workdir / 'train' / 'run_03' / 'checkpoints' / '44'
  while pair.is_running() and not checkpoint.exists():
    time.sleep(0.01)
  pair.processes[1].send_signal(signal.SIGTERM)
  codes = pair.wait()
  assert codes == [EXIT_STOPPED] * 2, pair.log(0) + pair.log(1)
  steps = {
    max(
      int(path.name)
      for path in (workdir / f'train/run_0{run}/checkpoints').iterdir()
    )
    for run in range(4)
  }
  assert len(steps) == 1, 'all runs stop at the same step'
  return steps.pop()


def test_a_pair_stopped_once_gives_what_an_undisturbed_one_gives(
  quiet, env, compilations, tmp_path
):
  workdir = tmp_path / 'workdir'
  flags = _flags(workdir, compilations)
  step = _stop_a_pair(flags, env, workdir)
  pair = running.Pair(flags, env)
  codes = pair.wait()
  assert codes == [0, 0], pair.log(0) + pair.log(1)
  assert f'Resuming from step {step}' in pair.log(0)
  assert _differences(running.results(quiet), running.results(workdir)) == set()


def test_one_process_and_device_goes_on_where_a_pair_was_stopped(
  quiet, env, compilations, tmp_path
):
  workdir = tmp_path / 'workdir'
  flags = _flags(workdir, compilations)
  step = _stop_a_pair(flags, env, workdir)
  env = running.environment(tmp_path / 'home', num_devices=1)
  done = running.run_main(flags, env)
  assert done.returncode == 0, done.stderr
  assert f'Resuming from step {step}' in done.stderr
  expected, found = running.results(quiet), running.results(workdir)
  # A run had a device of its own there, too; scoring was split over all.
  different = _differences(expected, found)
  assert not [name for name in different if name.startswith('train/')]
  scores = [
    path.relative_to(quiet) for path in quiet.rglob('scores/mean/*/*.npy')
  ]
  assert len(scores) >= 5
  for path in scores:
    np.testing.assert_allclose(
      np.load(workdir / path), np.load(quiet / path), rtol=1e-4, atol=1e-7
    )


def test_a_pair_leaves_out_the_folds_that_one_process_leaves_out(
  env, compilations, tmp_path
):
  changes = {
    'train__folds': 4,
    'train__num_steps': 44,
    'train__schedule_steps': 44,
    'score__steps': (44,),
  }
  of_pair, of_one = tmp_path / 'of_pair', tmp_path / 'of_one'
  pair = running.Pair(_flags(of_pair, compilations, **changes), env)
  assert pair.wait() == [0, 0], pair.log(0) + pair.log(1)
  env = running.environment(tmp_path / 'home', num_devices=1)
  done = running.run_main(_flags(of_one, compilations, **changes), env)
  assert done.returncode == 0, done.stderr
  different = _differences(running.results(of_one), running.results(of_pair))
  # Scoring was split over all devices.
  assert not [name for name in different if name.startswith('train/')]
  path = 'scores/mean/step_44/el2n.npy'
  np.testing.assert_allclose(
    np.load(of_pair / path), np.load(of_one / path), rtol=1e-4
  )


@pytest.mark.parametrize('victim', [0, 1])
def test_one_stopped_while_compiling_takes_the_other_along(
  victim, env, tmp_path
):
  flags = _flags(tmp_path / 'workdir', 'none')
  pair = running.Pair([*flags, '--verbosity=1'], env)
  while pair.is_running() and 'Wave from step 0' not in pair.log(0):
    time.sleep(0.01)
  time.sleep(0.5)
  pair.processes[victim].send_signal(signal.SIGTERM)
  start = time.monotonic()
  codes = pair.wait()
  seconds = time.monotonic() - start
  assert 'Dispatched step' not in pair.log(0)
  assert codes == [EXIT_STOPPED] * 2, pair.log(0) + pair.log(1)
  assert seconds < 10


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
    score__names=('el2n', 'grand'),
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
  checkpoint = workdir / 'train' / 'run_03' / 'checkpoints' / '44'
  while pair.is_running() and not checkpoint.exists():
    time.sleep(0.01)
  pair.processes[victim].kill()
  start = time.monotonic()
  codes = pair.wait()
  assert time.monotonic() - start < 60
  assert codes[victim] == -signal.SIGKILL
  assert codes[1 - victim] not in (0, EXIT_STOPPED)


_RECORDS_READS = """
import os, pathlib
from datadiet.data import packed

read = packed._read

def recorded(images, rows, shape, crops=None):
  if crops is not None:
    path = pathlib.Path(os.environ['HOME']) / f'read_{os.getpid()}'
    with path.open('a') as file:
      for seed in crops.seeds:
        print(int(seed), file=file)
  return read(images, rows, shape, crops)

packed._read = recorded
"""


def test_a_pair_cuts_disjoint_shares_out_of_photographs(
  env, compilations, tmp_path
):
  """What is cut for a batch follows from its seeds, which are all distinct."""
  data = tmp_path / 'photographs'
  formats.write_image_folder(
    data, {'train/a': 32, 'train/b': 32, 'test/a': 8, 'test/b': 8}
  )
  (tmp_path / 'records_reads.py').write_text(_RECORDS_READS)
  changes = {
    'dataset__name': 'image_folder',
    'dataset__data_dir': str(data),
    'dataset__cache_dir': str(tmp_path / 'cache'),
    'dataset__placement': 'stream',
    'dataset__image_size': 16,
    'train__augmentation': 'photo_crop_flip',
    'train__batch_size': 16,
    'train__num_runs': 2,
    'train__num_steps': 8,
    'train__schedule_steps': 8,
    'train__checkpoint_every_steps': 4,
    'score__steps': (8,),
    'plugins': ('records_reads',),
  }
  found = {}
  for name, num_processes in (('of_pair', 2), ('of_one', 1)):
    home = tmp_path / name
    home.mkdir()
    env = running.environment(home, num_devices=4 // num_processes)
    env['PYTHONPATH'] += f':{tmp_path}'
    flags = _flags(home / 'workdir', compilations, **changes)
    pair = running.Pair(flags, env, num_processes)
    assert pair.wait() == [0] * num_processes, pair.log(0)
    reads = [set(path.read_text().split()) for path in home.glob('read_*')]
    assert len(reads) == num_processes
    found[name] = set().union(*reads)
    # Two runs of eight steps of 16, each image cut once.
    assert sum(map(len, reads)) == len(found[name]) == 2 * 8 * 16
  assert found['of_pair'] == found['of_one']
