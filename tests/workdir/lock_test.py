"""Tests of the lock of a workdir, and that two programs never share one."""

import contextlib
import errno
import fcntl
import multiprocessing
import os
import signal
import socket

import pytest
from absl import logging
from etils import epath

from datadiet import main
from datadiet.errors import DataDietError
from datadiet.workdir import artifacts, lock
from tests import running


@pytest.fixture
def root(tmp_path):
  return epath.Path(tmp_path / 'above' / 'workdir')


def test_a_second_one_is_told_who_has_it(root):
  with lock.hold(root) as holder:
    assert holder == ''
    with lock.hold(root) as holder:
      assert holder == f'process {os.getpid()} on {socket.gethostname()}'
    # The one that was refused has taken nothing away.
    with lock.hold(root) as holder:
      assert holder
  with lock.hold(root) as holder:
    assert holder == ''


def test_nothing_is_left_of_it(root, tmp_path):
  with lock.hold(root):
    pass
  assert list(tmp_path.iterdir()) == []
  root.mkdir(parents=True)
  with lock.hold(root):
    assert (root / lock.LOCK).exists()
  assert list(root.iterdir()) == []
  with pytest.raises(KeyError), lock.hold(root):
    (root / 'file').write_text('')
    raise KeyError
  assert [path.name for path in root.iterdir()] == ['file']


def _hold_for_ever(root, pipe):
  with lock.hold(epath.Path(root)) as holder:
    pipe.send(holder)
    signal.pause()


def test_a_killed_process_holds_nothing(root):
  context = multiprocessing.get_context('spawn')
  here, there = context.Pipe()
  process = context.Process(target=_hold_for_ever, args=(str(root), there))
  process.start()
  assert here.recv() == ''
  with lock.hold(root) as holder:
    assert holder.startswith(f'process {process.pid} on ')
  process.kill()
  process.join()
  assert (root / lock.LOCK).exists()
  with lock.hold(root) as holder:
    assert holder == ''
  assert not (root / lock.LOCK).exists()


def test_a_file_that_was_removed_meanwhile_is_no_lock(root, monkeypatch):
  """Between its opening and its locking, by the one that had it."""
  flock, path = fcntl.flock, root / lock.LOCK
  opened = []

  def fake_flock(descriptor, flags):
    if not opened:
      path.unlink()
    opened.append(descriptor)
    return flock(descriptor, flags)

  monkeypatch.setattr(fcntl, 'flock', fake_flock)
  with lock.hold(root):
    assert len(opened) == 2
    assert path.exists()


@pytest.mark.parametrize('error', [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks(root, monkeypatch, error):
  warnings = []
  monkeypatch.setattr(logging, 'warning', lambda *args: warnings.append(args))

  def fake_flock(descriptor, flags):
    raise OSError(error, os.strerror(error))

  monkeypatch.setattr(fcntl, 'flock', fake_flock)
  with lock.hold(root) as holder:
    assert holder == ''
  assert os.strerror(error) in warnings[0]


def test_remote_workdirs_have_none():
  with lock.hold(epath.Path('gs://bucket/run')) as holder:
    assert holder == ''


def test_a_file_is_waited_for(tmp_path):
  path, told = tmp_path / 'a.lock', []
  with contextlib.ExitStack() as first:
    assert first.enter_context(lock.hold_file(path)) == ''

    def wait(holder):
      told.append(holder)
      if len(told) == 3:
        first.close()

    with lock.hold_file(path, wait) as holder:
      assert holder == ''
      assert path.exists()
  assert told == 3 * [f'process {os.getpid()} on {socket.gethostname()}']
  assert not list(tmp_path.iterdir())


def test_waiting_for_a_file_can_be_ended(tmp_path):
  def wait(holder):
    raise KeyError(holder)

  with lock.hold_file(tmp_path / 'a.lock'):
    with pytest.raises(KeyError), lock.hold_file(tmp_path / 'a.lock', wait):
      raise AssertionError
    assert (tmp_path / 'a.lock').exists()


def test_a_workdir_in_use_is_refused_and_left_alone(tmp_path, monkeypatch):
  """Before the data is read."""
  root = epath.Path(tmp_path / 'workdir')
  with lock.hold(root):
    before = running.all_bytes(root)
    config = running.tiny_config(
      dataset__name='image_folder', dataset__data_dir='/nowhere'
    )
    with pytest.raises(
      DataDietError, match=f'in use by process {os.getpid()} on '
    ) as refused:
      main.run(config, str(root), ['train'])
    assert str(root) in str(refused.value)
    assert running.all_bytes(root) == before


def test_a_report_of_a_workdir_in_use_changes_nothing_else(tmp_path):
  workdir = tmp_path / 'workdir'
  config = running.tiny_config(
    train__num_runs=1,
    train__num_steps=22,
    train__schedule_steps=22,
    score__steps=(22,),
    score__names=('el2n',),
  )
  main.run(config, str(workdir), ['train', 'score'])
  live = workdir / 'scores' / '.el2n.npy.0a1b2c3d.tmp'
  live.write_text('half written')
  before = running.all_bytes(workdir)
  with lock.hold(epath.Path(workdir)):
    held = running.all_bytes(workdir)
    main.run(config, str(workdir), ['report'])
    found = running.all_bytes(workdir)
  assert 'report/index.html' in found
  assert {
    name: content
    for name, content in found.items()
    if not name.startswith('report/')
  } == held
  # Else it is removed.
  main.run(config, str(workdir), ['score'])
  assert not live.exists()
  assert artifacts.read_json(workdir / 'timing.json').keys() == (
    {'train', 'score'}
  )
  assert before.keys() < found.keys()


def test_several_processes_are_refused_alike(tmp_path):
  root = epath.Path(tmp_path / 'workdir')
  env = running.environment(tmp_path, num_devices=1)
  with lock.hold(root):
    pair = running.Pair(running.tiny_flags(root, stages='train'), env)
    assert pair.wait(100) == [1, 1]
  assert f'in use by process {os.getpid()} on ' in pair.log(0)
  assert not root.exists()
