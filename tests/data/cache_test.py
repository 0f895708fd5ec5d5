"""Tests of the decoded cache."""

import os
import pathlib
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from datadiet.data import cache
from datadiet.data.dataset import Split, make_dataset
from datadiet.errors import ConfigError
from tests.data import formats

ROOT = pathlib.Path(__file__).parents[2]
IMAGES = formats.random_images(20, 8)


def _load(allocate, seed=0):
  splits = []
  for name, num in (('train', 20), ('test', 6)):
    images = allocate(name, (num, 8, 8, 3))
    images[...] = IMAGES[:num] + np.uint8(seed)
    labels = (np.arange(num) % 2).astype(np.int32)
    ids = np.array([f'{name}/{i}' for i in range(num)])
    splits.append(Split(images, labels, ids, {'origin': ids}))
  return make_dataset('set', *splits, ('a', 'b'), skipped=('gone.png',))


def _same(one, other):
  for name in ('train', 'test'):
    for field in ('images', 'labels', 'ids'):
      np.testing.assert_array_equal(
        getattr(getattr(one, name), field), getattr(getattr(other, name), field)
      )
  np.testing.assert_array_equal(one.mean, other.mean)
  np.testing.assert_array_equal(one.std, other.std)
  assert one.fingerprint == other.fingerprint
  assert one.class_names == other.class_names
  assert one.skipped == other.skipped == ('gone.png',)
  np.testing.assert_array_equal(
    one.train.columns['origin'], other.train.columns['origin']
  )


def _never(allocate):
  raise AssertionError('read though it is cached')


def test_second_read_is_the_cached_first(tmp_path):
  first = cache.cached('a/b:1', {'k': 1}, _load, str(tmp_path))
  second = cache.cached('a/b:1', {'k': 1}, _never, str(tmp_path))
  _same(first, _load(cache.in_memory))
  _same(second, first)
  for dataset in (first, second):
    assert isinstance(dataset.train.images, np.memmap)
    assert not dataset.train.images.flags.writeable
  with pytest.raises(AssertionError):
    cache.cached('a/b:1', {'k': 2}, _never, str(tmp_path))
  # Nothing temporary is left.
  assert not [name for name in os.listdir(tmp_path) if name.endswith('.tmp')]


def test_images_not_decoded_in_place_are_copied(tmp_path):
  def load(allocate):
    del allocate
    return _load(cache.in_memory)

  first = cache.cached('set', {}, load, str(tmp_path))
  _same(cache.cached('set', {}, _never, str(tmp_path)), first)


def test_no_cache(tmp_path):
  _same(cache.cached('set', {}, _load, 'none'), _load(cache.in_memory))
  with pytest.raises(ConfigError, match='dataset.cache_dir: gs://bucket'):
    cache.cached('set', {}, _load, 'gs://bucket/cache')


def _only_folder(root):
  (folder,) = (p for p in root.iterdir() if not p.name.startswith('.'))
  return folder


@pytest.mark.parametrize(
  'damage', ['cut', 'gone', 'no manifest', 'bad manifest']
)
def test_damaged_cache_is_read_anew(tmp_path, damage):
  cache.cached('set', {}, _load, str(tmp_path))
  folder = _only_folder(tmp_path)
  images = folder / 'train_images.npy'
  if damage == 'cut':
    os.truncate(images, 500)
  elif damage == 'gone':
    (folder / 'train_labels.npy').unlink()
  elif damage == 'no manifest':
    (folder / 'manifest.json').unlink()
  else:
    (folder / 'manifest.json').write_text('{')
  again = cache.cached('set', {}, _load, str(tmp_path))
  _same(again, _load(cache.in_memory))
  _same(cache.cached('set', {}, _never, str(tmp_path)), again)


def test_failed_read_leaves_nothing(tmp_path):
  def load(allocate):
    allocate('train', (20, 8, 8, 3))
    raise KeyError('broken')

  with pytest.raises(KeyError):
    cache.cached('set', {}, load, str(tmp_path))
  assert os.listdir(tmp_path) == []


def test_what_a_killed_process_left_is_removed(tmp_path):
  script = (
    'import os, signal, sys\n'
    'from datadiet.data import cache\n'
    'def load(allocate):\n'
    '  allocate("train", (20, 8, 8, 3))[...] = 1\n'
    '  os.kill(os.getpid(), signal.SIGKILL)\n'
    'cache.cached("set", {}, load, sys.argv[1])\n'
  )
  command = [sys.executable, '-c', script, str(tmp_path)]
  assert subprocess.run(command, cwd=ROOT).returncode == -9
  left = [name for name in os.listdir(tmp_path) if name.endswith('.tmp')]
  assert len(left) == 1
  cache.cached('set', {}, _load, str(tmp_path))
  assert not [name for name in os.listdir(tmp_path) if name.endswith('.tmp')]


def test_one_process_at_a_time_decodes(tmp_path):
  calls = []

  def load(allocate):
    calls.append(1)
    time.sleep(0.3)
    return _load(allocate)

  results = []
  threads = [
    threading.Thread(
      target=lambda: results.append(
        cache.cached('set', {}, load, str(tmp_path))
      )
    )
    for _ in range(3)
  ]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  assert len(calls) == 1
  assert len(results) == 3
  for result in results:
    _same(result, results[0])


@pytest.mark.parametrize(
  'fault', ['no folder', 'no space', 'no space at the end']
)
def test_cache_that_cannot_be_written_stops_nobody(
  tmp_path, monkeypatch, caplog, fault
):
  root = tmp_path / 'cache'
  if fault == 'no folder':
    root.write_text('a file where the folder would be')
  elif fault == 'no space':

    def full(*_):
      raise OSError(28, 'No space left on device')

    monkeypatch.setattr(os, 'posix_fallocate', full, raising=False)
  else:

    def no_manifest(*_):
      raise cache.DataDietError('cannot write: No space left on device')

    monkeypatch.setattr(cache.artifacts, 'write_manifest', no_manifest)
  _same(cache.cached('set', {}, _load, str(root)), _load(cache.in_memory))
  assert 'cannot be cached' in caplog.text
  if root.is_dir():
    assert os.listdir(root) == []


def test_space_that_cannot_be_promised_is_filled(tmp_path, monkeypatch):
  def unsupported(*_):
    raise OSError(95, 'Operation not supported')

  monkeypatch.setattr(os, 'posix_fallocate', unsupported, raising=False)
  first = cache.cached('set', {}, _load, str(tmp_path))
  _same(cache.cached('set', {}, _never, str(tmp_path)), first)
  images = _only_folder(tmp_path) / 'train_images.npy'
  assert images.stat().st_blocks * 512 >= images.stat().st_size
