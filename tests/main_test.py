"""Tests of the program from outside: full disks, signals, resuming."""

import importlib.util
import json
import random
import signal
import time

import pytest

from datadiet.errors import EXIT_STOPPED
from tests import running

# Longer than TINY, so that there is a middle to be killed in.
_LONG = {
  'train__num_steps': 880,
  'train__schedule_steps': 880,
  'train__log_every_steps': 110,
  'train__eval_every_steps': 440,
  'train__checkpoint_every_steps': 44,
  'score__steps': (0, 440, 880),
  'score__gradient_batch_size': 16,
}
_STAGES = 'train,score,select,retrain'


@pytest.fixture(scope='module')
def env(tmp_path_factory):
  return running.environment(tmp_path_factory.mktemp('environment'))


@pytest.fixture(scope='module')
def compilations(tmp_path_factory):
  return tmp_path_factory.mktemp('compilations')


_CONFIG = '--config=configs/cnn_digits.py'


def test_a_missing_workdir_is_refused(env):
  done = running.run_main([_CONFIG], env)
  assert (done.returncode, done.stdout) == (2, '')
  assert done.stderr == 'datadiet: --workdir is missing\n'


def test_help_shows_the_flags(env):
  done = running.run_main(['--help'], env)
  for flag in ('--config', '--workdir', '--[no]'):
    assert flag.split('[')[0] in done.stdout
  assert 'Finds out which training examples matter' in done.stdout


def test_an_option_of_a_policy_is_taken_from_the_command_line(env, tmp_path):
  # Refused for the data's size alone, so nothing is trained.
  done = running.run_main(
    running.tiny_flags(
      tmp_path / 'workdir',
      select__policies='offset',
      select__options__offset=100,
      train__batch_size=5_000,
    ),
    env,
  )
  assert done.returncode == 2
  assert 'config.train.batch_size: 5000 is not allowed' in done.stderr
  assert not (tmp_path / 'workdir').exists()


def test_a_workdir_below_a_file_is_refused(env, tmp_path):
  (tmp_path / 'file').write_text('precious')
  done = running.run_main(
    running.tiny_flags(tmp_path / 'file' / 'workdir'), env
  )
  assert done.returncode == 1
  assert done.stderr.count('datadiet: ') == 1
  assert 'Traceback' not in done.stderr
  assert str(tmp_path / 'file' / 'workdir') in done.stderr.splitlines()[-1]
  assert (tmp_path / 'file').read_text() == 'precious'


def test_a_full_disk_is_said_and_the_checkpoint_before_restores(
  env, compilations, tmp_path
):
  workdir = tmp_path / 'a[1] b*'
  flags = running.tiny_flags(
    workdir,
    stages='train',
    train__num_steps=440,
    train__schedule_steps=440,
    compilation_cache_dir=compilations,
  )
  # The second run is saved last.
  before = workdir / 'train' / 'run_01' / 'checkpoints' / '22'
  code, log = running.interrupt_main(
    flags, env, when=before.exists, delay=0.0, with_signal=signal.SIGTERM
  )
  assert code == EXIT_STOPPED, log
  done = running.run_main(
    flags,
    env,
    # By a shell: a fork of this process, in which JAX has threads, warns.
    prefix=['bash', '-c', 'ulimit -f 8; exec "$@"', 'bash'],
  )
  assert done.returncode == 1, done.stderr
  last = done.stderr.splitlines()[-1]
  assert last.startswith('datadiet: ')
  assert str(workdir / 'train') in last
  assert 'Traceback' not in done.stderr
  assert not list(workdir.glob('train/run_*/manifest.json'))
  assert 'Resuming from step' in done.stderr
  step = done.stderr.split('Resuming from step ')[1].split(':')[0]
  done = running.run_main(flags, env)
  assert done.returncode == 0, done.stderr
  assert f'Resuming from step {step}:' in done.stderr


def test_event_files_and_a_profile_come_without_noise(
  tmp_path_factory, compilations, tmp_path
):
  if not importlib.util.find_spec('tensorflow'):
    pytest.skip('TensorFlow is not installed')
  env = running.environment(tmp_path_factory.mktemp('home'), tensorflow=True)
  workdir = tmp_path / 'workdir'
  done = running.run_main(
    running.tiny_flags(
      workdir,
      stages='train',
      train__num_runs=1,
      train__profile_steps=(20, 24),
      compilation_cache_dir=compilations,
    ),
    env,
  )
  assert done.returncode == 0, done.stderr
  run = workdir / 'train' / 'run_00'
  (events,) = run.glob('events.out.tfevents.*')
  content = events.read_bytes()
  for name in (b'test_accuracy', b'steps_per_sec', b'train.batch_size'):
    assert name in content
  assert b'steps_per_sec' not in (run / 'history.csv').read_bytes()
  # TensorBoard looks for it there; Perfetto opens the one in JSON.
  assert list(run.glob('profile/plugins/profile/*/*.xplane.pb'))
  assert list(run.glob('profile/plugins/profile/*/*.trace.json.gz'))
  assert f'Profile of steps 20 to 24: {run}/profile' in done.stderr
  for noise in ('oneDNN', 'InitializeLog', 'computation_placer', 'cpu_feature'):
    assert noise not in done.stderr
  # Every line is of this program.
  lines = [line for line in done.stderr.splitlines() if line.strip()]
  assert not [line for line in lines if 'tensorflow' in line.lower()]


def test_a_loss_that_is_not_finite_stops_the_run(env, compilations, tmp_path):
  done = running.run_main(
    running.tiny_flags(
      tmp_path / 'workdir',
      stages='train',
      optimizer__learning_rate=1e6,
      compilation_cache_dir=compilations,
    ),
    env,
  )
  assert done.returncode == 1
  last = done.stderr.splitlines()[-1]
  assert last.startswith('datadiet: train/run_0')
  assert 'the loss is not finite from step ' in last
  assert 'Traceback' not in done.stderr
  assert not list(tmp_path.glob('workdir/train/run_*/manifest.json'))


@pytest.fixture(scope='module')
def uninterrupted(env, compilations, tmp_path_factory):
  """The workdir of a start that nothing disturbed."""
  workdir = tmp_path_factory.mktemp('uninterrupted') / 'workdir'
  done = running.run_main(_long_flags(workdir, compilations), env)
  assert done.returncode == 0, done.stderr
  return workdir


def _long_flags(workdir, compilations):
  return running.tiny_flags(
    workdir, stages=_STAGES, compilation_cache_dir=compilations, **_LONG
  )


def test_killed_and_stopped_runs_end_in_the_same_bytes(
  env, compilations, uninterrupted, tmp_path
):
  workdir = tmp_path / 'workdir'
  flags = _long_flags(workdir, compilations)
  train, scores = workdir / 'train', workdir / 'scores'

  def checkpoint(step):
    return lambda: (train / 'run_01' / 'checkpoints' / str(step)).exists()

  # No seed: each time the test is run it kills at another moment.
  delay = random.uniform(0.0, 0.2)
  code, log = running.interrupt_main(
    flags, env, when=checkpoint(88), delay=delay, with_signal=signal.SIGKILL
  )
  assert code == -signal.SIGKILL, log
  assert not (train / 'run_00' / 'manifest.json').exists()

  code, log = running.interrupt_main(
    flags, env, when=checkpoint(484), delay=delay, with_signal=signal.SIGTERM
  )
  assert code == EXIT_STOPPED, log
  assert 'Resuming from step' in log
  assert 'Got SIGTERM: saving, then stopping' in log
  assert 'run the same command again to resume' in log
  assert not (train / 'run_00' / 'manifest.json').exists()

  code, log = running.interrupt_main(
    flags,
    env,
    when=(scores / 'run_00' / 'step_0' / 'manifest.json').exists,
    delay=delay / 10,
    with_signal=signal.SIGKILL,
  )
  assert code == -signal.SIGKILL, log
  assert not (scores / 'mean' / 'step_880' / 'manifest.json').exists()

  done = running.run_main(flags, env)
  assert done.returncode == 0, done.stderr
  expected, found = running.results(uninterrupted), running.results(workdir)
  # Not the workdir's own path, and where it was cut off.
  assert {name for name in expected if expected[name] != found.get(name)} == (
    set()
  )
  assert sum('/checkpoints/' in name for name in expected) >= 2 * 3
  assert sum(name.endswith('/el2n.npy') for name in expected) == 3 * 3
  assert sum(name.endswith('history.csv') for name in expected) == 8
  left_over = [name for name in found if '.tmp' in name or 'partial' in name]
  assert left_over == []


def test_sigterm_while_scoring(env, compilations, uninterrupted, tmp_path):
  workdir = tmp_path / 'workdir'
  flags = _long_flags(workdir, compilations)
  running.copy_without(uninterrupted, workdir, ('scores', 'selections'))
  first = workdir / 'scores' / 'run_00' / 'step_0' / 'manifest.json'
  code, log = running.interrupt_main(
    flags, env, when=first.exists, delay=0.0, with_signal=signal.SIGTERM
  )
  assert code == EXIT_STOPPED, log
  # Between two networks there is nothing to save.
  partials = list(workdir.glob('scores/run_*/step_*/partial.npz'))
  done = running.run_main(flags, env)
  assert done.returncode == 0, done.stderr
  assert ('Resuming at example' in done.stderr) == bool(partials)
  expected, found = running.results(uninterrupted), running.results(workdir)
  assert {name for name in expected if expected[name] != found.get(name)} == (
    set()
  )


def test_a_finished_workdir_is_left_as_it_is(env, compilations, uninterrupted):
  times = {
    path: path.stat().st_mtime_ns
    for pattern in ('*train', 'scores/run_*', 'selections')
    for folder in uninterrupted.glob(pattern)
    for path in folder.rglob('*')
  }
  before = running.results(uninterrupted)
  start = time.monotonic()
  done = running.run_main(_long_flags(uninterrupted, compilations), env)
  seconds = time.monotonic() - start
  assert done.returncode == 0, done.stderr
  assert running.results(uninterrupted) == before
  assert {path: path.stat().st_mtime_ns for path in times} == times
  assert '2 runs of 880 steps (2 done)' in done.stderr
  assert '(6 of 6 done)' in done.stderr
  assert f'Results: {uninterrupted}' in done.stderr
  assert seconds < 30  # 4 s on an idle machine.


def test_config_json_says_what_ran(uninterrupted):
  content = json.loads((uninterrupted / 'config.json').read_text())
  assert content['config']['train']['num_steps'] == 880
  assert content['config']['select']['step'] == 880
  assert len(content['devices']) == 2
  assert {'jax', 'flax', 'numpy', 'python'} <= set(content['versions'])
