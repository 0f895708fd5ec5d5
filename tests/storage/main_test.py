"""Tests whole runs whose workdir or data is on a local object store."""

import signal

import pytest

import datadiet
from datadiet.errors import EXIT_STOPPED
from datadiet.workdir import checkpoints
from tests import running
from tests.storage import stores

# Longer than TINY, so that there is a middle to be stopped in.
_CHANGES = {
  'train__num_steps': 440,
  'train__schedule_steps': 440,
  'train__log_every_steps': 110,
  'train__eval_every_steps': 220,
  'train__checkpoint_every_steps': 22,
  'score__steps': (0, 220, 440),
}


def _flags(workdir, compilations, **changes):
  return running.tiny_flags(
    workdir,
    compilation_cache_dir=compilations,
    **{**_CHANGES, **changes},
  )


@pytest.fixture(scope='module')
def compilations(tmp_path_factory):
  return tmp_path_factory.mktemp('compilations')


@pytest.fixture(scope='module')
def env(tmp_path_factory):
  return running.environment(tmp_path_factory.mktemp('home'))


@pytest.fixture(scope='module')
def local(env, compilations, tmp_path_factory):
  """The workdir of the same run on the local disk."""
  workdir = tmp_path_factory.mktemp('local') / 'workdir'
  done = running.run_main(_flags(workdir, compilations), env)
  assert done.returncode == 0, done.stderr
  return workdir


def _fetch(store, folder, target):
  """Copies a workdir from a store to the disk."""
  for name, content in store.contents(folder).items():
    path = target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _fetched(store, folder, target):
  """What a workdir on a store must share with a local one."""
  _fetch(store, folder, target)
  return running.results(target)


def _check_same(found, expected):
  names = found.keys() | expected.keys()
  assert {n for n in names if found.get(n) != expected.get(n)} == set()
  kinds = ('history.csv', 'el2n.npy', 'example_index.npy', 'scores.csv')
  for kind in (*kinds, '.safetensors'):
    assert any(name.endswith(kind) for name in found), kind


def test_a_stopped_and_resumed_run_gives_the_bytes_of_a_local_one(
  server, env, compilations, local, tmp_path, use
):
  workdir = f'{server.root}/stopped'
  env = {**env, **server.env}
  flags = _flags(workdir, compilations)
  run = f'{stores.BUCKET}/stopped/train/run_01'
  code, log = running.interrupt_main(
    flags,
    env,
    when=lambda: server.files.exists(f'{run}/checkpoints/44/manifest.json'),
    delay=0.1,
    with_signal=signal.SIGTERM,
  )
  assert code == EXIT_STOPPED, log
  assert not server.files.exists(f'{run}/manifest.json')
  done = running.run_main(flags, env)
  assert done.returncode == 0, done.stderr
  assert 'Resuming from step ' in done.stderr
  _check_same(
    _fetched(server, 'stopped', tmp_path / 'fetched'), running.results(local)
  )
  # The report is there, and a second start has nothing to do.
  use(server)
  results = datadiet.load_results(workdir)
  expected = datadiet.load_results(local)
  assert results.scores.equals(expected.scores)
  assert list(results.selections) == list(expected.selections)
  assert (results.workdir.report / 'index.html').exists()
  before = _times(server, 'stopped')
  again = running.run_main(flags, env)
  assert again.returncode == 0, again.stderr
  after = _times(server, 'stopped')
  changed = {name for name in after if after[name] != before.get(name)}
  # Means over runs are worked out anew at each start.
  assert not [n for n in changed if '/run_' in n or '/report/' in n]


def test_a_workdir_copied_from_a_bucket_to_a_disk_and_back_goes_on(
  server, env, compilations, local, tmp_path
):
  env = {**env, **server.env}

  def stop(workdir, when):
    code, log = running.interrupt_main(
      _flags(workdir, compilations),
      env,
      when=when,
      delay=0.1,
      with_signal=signal.SIGTERM,
    )
    assert code == EXIT_STOPPED, log
    return log

  # Names that are patterns to whoever takes them for some.
  run = f'{stores.BUCKET}/copied [1]/train/run_01/checkpoints'
  stop(
    f'{server.root}/copied [1]',
    lambda: server.files.exists(f'{run}/44/manifest.json'),
  )
  workdir = tmp_path / 'a[1] b*'
  _fetch(server, 'copied [1]', workdir)
  assert checkpoints.full_steps(workdir / 'train' / 'run_01')
  log = stop(
    workdir,
    lambda: checkpoints.full_steps(workdir / 'train' / 'run_01')[-1] >= 132,
  )
  assert 'Resuming from step ' in log
  for name, content in running.all_bytes(workdir).items():
    server.files.pipe_file(f'{stores.BUCKET}/back/{name}', content)
  done = running.run_main(_flags(f'{server.root}/back', compilations), env)
  assert done.returncode == 0, done.stderr
  assert 'Resuming from step ' in done.stderr
  _check_same(
    _fetched(server, 'back', tmp_path / 'fetched'), running.results(local)
  )


def _times(store, folder):
  """When each object of a workdir was written."""
  found = store.files.find(f'{stores.BUCKET}/{folder}', detail=True)
  return {
    name: entry.get('LastModified') or entry.get('updated')
    for name, entry in found.items()
  }


def test_a_killed_run_goes_on(s3_server, env, compilations, local, tmp_path):
  env = {**env, **s3_server.env}
  flags = _flags(f'{s3_server.root}/killed', compilations)
  start = f'{stores.BUCKET}/killed/train/run_00/checkpoints'
  code, log = running.interrupt_main(
    flags,
    env,
    when=lambda: s3_server.files.exists(f'{start}/66/rest.safetensors'),
    delay=0.0,
    with_signal=signal.SIGKILL,
  )
  assert code == -signal.SIGKILL, log
  done = running.run_main(flags, env)
  assert done.returncode == 0, done.stderr
  _check_same(
    _fetched(s3_server, 'killed', tmp_path / 'fetched'), running.results(local)
  )


def test_a_store_that_fails_now_and_then_changes_nothing(
  s3_server, env, compilations, local, tmp_path
):
  gateway = stores.Gateway(s3_server)
  gateway.fail(lambda method, path, number: 503 if number % 25 == 3 else 0)
  done = running.run_main(
    _flags(f'{s3_server.root}/failing', compilations),
    {**env, **gateway.store.env},
  )
  gateway.close()
  assert done.returncode == 0, done.stderr
  assert gateway.num_failed > 20
  _check_same(
    _fetched(s3_server, 'failing', tmp_path / 'fetched'), running.results(local)
  )


def test_what_cannot_work_is_said_before_anything_is_done(s3_server, env):
  for workdir, reason in (
    ('s3://missing/w', 'there is no such bucket'),
    ('az://bucket/w', 'allowed: a local path or one on gs://, s3://'),
  ):
    done = running.run_main(
      running.tiny_flags(workdir), {**env, **s3_server.env}
    )
    assert done.returncode == 2
    assert done.stderr.startswith('datadiet: --workdir: ')
    assert reason in done.stderr and done.stderr.count('\n') == 1


def test_a_store_that_stops_working_is_said_in_a_line(
  s3_server, env, compilations
):
  gateway = stores.Gateway(s3_server)
  gateway.fail(
    lambda method, path, number: 403 * (method == 'PUT' and 'scores' in path)
  )
  done = running.run_main(
    _flags(f'{s3_server.root}/revoked', compilations),
    {**env, **gateway.store.env},
  )
  gateway.close()
  assert done.returncode == 1
  last = done.stderr.splitlines()[-1]
  assert last.startswith('datadiet: the object store failed: access denied')
  assert 'Traceback' not in done.stderr
