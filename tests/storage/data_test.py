"""Tests data sets on local object stores."""

import dataclasses

import numpy as np
import pytest
from etils import epath

from datadiet.data import DATASETS, TFDS, load_dataset
from datadiet.data.sources import tfds
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats
from tests.data.sources import hugging_face_test, tfds_test
from tests.storage import stores

NUM = 12


def _image_folder(folder):
  counts = {'train/b cat': 5, 'train/a/deep': 4, 'test/a': 2, 'test/b cat': 1}
  formats.write_image_folder(folder, counts)
  return 'image_folder'


def _arrays():
  return {
    'train_images': formats.random_images(NUM, 8),
    'train_labels': np.arange(NUM) % 3,
    'test_images': formats.random_images(6, 8, 1),
    'test_labels': np.arange(6) % 3,
  }


def _npz(folder):
  np.savez(folder / 'mine.npz', **_arrays())
  return 'arrays'


def _npy(folder):
  for name, array in _arrays().items():
    np.save(folder / f'{name}.npy', array)
  return 'arrays'


def _tfds(folder):
  labels = np.arange(NUM) % 3
  splits = {
    'train': (formats.random_images(NUM, 8), labels),
    'test': (formats.random_images(NUM, 8, 1), labels),
  }
  tfds_test.write_set(folder / 'tiny' / '1.0.0', splits)
  return 'tiny'


def _hugging_face_tables():
  """What the library `datasets` would write, by split."""
  return {
    split: hugging_face_test._table(
      pytest.importorskip('pyarrow'),
      hugging_face_test._records(NUM, seed)[1],
    )
    for seed, split in enumerate(('train', 'test'))
  }


def _parquet(folder):
  parquet = pytest.importorskip('pyarrow.parquet')
  for split, table in _hugging_face_tables().items():
    parquet.write_table(table, folder / f'{split}.parquet')
  return 'hugging_face'


def _saved(folder):
  pyarrow = pytest.importorskip('pyarrow')
  for split, table in _hugging_face_tables().items():
    hugging_face_test._save_to_disk(pyarrow, folder / split, table)
  (folder / 'dataset_dict.json').write_text('{"splits": ["train", "test"]}')
  return 'hugging_face'


WRITERS = [_image_folder, _npz, _npy, _tfds, _parquet, _saved]


@pytest.mark.parametrize('write', WRITERS)
def test_data_is_read_as_from_the_local_disk(store, tmp_path, write):
  local = tmp_path / 'local'
  local.mkdir()
  name = write(local)
  target = f'data_{write.__name__}'
  store.files.put(f'{local}/', f'{stores.BUCKET}/{target}/', recursive=True)
  cache_dir = tmp_path / 'cache'
  settings = formats.settings(name, f'{store.root}/{target}', cache_dir)
  remote = load_dataset(settings)
  expected = load_dataset(formats.settings(name, local))
  assert remote.fingerprint == expected.fingerprint
  for split_name in ('train', 'test'):
    found = dataclasses.asdict(getattr(remote, split_name))
    for field, value in dataclasses.asdict(
      getattr(expected, split_name)
    ).items():
      np.testing.assert_equal(found[field], value)
  # The decoded arrays stay, the copies do not.
  (kept,) = cache_dir.glob('[!.]*')
  assert not list(cache_dir.glob('.*.tmp'))
  if num_images := DATASETS.get(name, TFDS).num_images:
    root = epath.Path(settings.data_dir)
    assert num_images(settings, root) == 2 * NUM
  uncached = load_dataset(formats.settings(name, f'{store.root}/{target}'))
  assert uncached.fingerprint == expected.fingerprint
  # Later starts only look whether the objects are the same.
  before = kept.stat().st_mtime_ns
  assert load_dataset(settings).fingerprint == expected.fingerprint
  assert kept.stat().st_mtime_ns == before
  assert [path.name for path in cache_dir.glob('[!.]*')] == [kept.name]


def test_a_changed_object_of_the_same_size_is_read_anew(store, tmp_path):
  arrays = _arrays()
  path = f'{stores.BUCKET}/changing/mine.npz'
  settings = formats.settings(
    'arrays', f'{store.root}/changing', tmp_path / 'cache'
  )
  fingerprints = []
  for seed in (0, 5):
    arrays['train_images'] = formats.random_images(NUM, 8, seed)
    np.savez(tmp_path / 'mine.npz', **arrays)
    store.files.put_file(str(tmp_path / 'mine.npz'), path)
    fingerprints.append(load_dataset(settings).fingerprint)
  assert fingerprints[0] != fingerprints[1]


def test_messages_name_the_remote_path(store, tmp_path):
  _image_folder(tmp_path / 'local')
  (tmp_path / 'local' / 'train' / 'a' / 'broken.png').write_bytes(b'no image')
  store.files.put(
    f'{tmp_path}/local/', f'{stores.BUCKET}/broken/', recursive=True
  )
  with pytest.raises(
    DataDietError, match=rf'^{store.root}/broken/train/a/broken.png cannot be'
  ):
    load_dataset(formats.settings('image_folder', f'{store.root}/broken'))


def test_missing_data_is_said(store, tmp_path):
  where = f'{store.root}/nowhere'
  for name in ('image_folder', 'arrays', 'cifar10'):
    with pytest.raises(ConfigError, match=f'config.dataset.data_dir: {where}'):
      load_dataset(formats.settings(name, where))
  with pytest.raises(ConfigError, match='cache_dir: .* is remote'):
    _npz(tmp_path)
    load_dataset(formats.settings('arrays', tmp_path, f'{store.root}/cache'))


def test_the_default_folder_of_tfds_may_be_remote(store, tmp_path, monkeypatch):
  _tfds(tmp_path)
  store.files.put(f'{tmp_path}/', f'{stores.BUCKET}/default/', recursive=True)
  monkeypatch.setenv('TFDS_DATA_DIR', f'{store.root}/default')
  assert tfds.prepared_folder('tiny', '') is not None
  assert load_dataset(formats.settings('tiny', '')).train.num_examples == NUM


def test_a_full_disk_is_said(store, tmp_path, monkeypatch):
  _npz(tmp_path)
  store.files.put_file(
    str(tmp_path / 'mine.npz'), f'{stores.BUCKET}/full/mine.npz'
  )

  def fill(*args, **options):
    raise OSError(28, 'No space left on device')

  monkeypatch.setattr('datadiet.workdir.storage.copy_here', fill)
  with pytest.raises(DataDietError, match='cannot be copied to .*: No space'):
    load_dataset(formats.settings('arrays', f'{store.root}/full'))
