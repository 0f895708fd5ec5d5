"""Tests of the user's own arrays."""

import numpy as np
import pytest

from datadiet.data import load_dataset
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats


def _arrays(num_train=30, num_test=9, **changes):
  arrays = {
    'train_images': formats.random_images(num_train, 8),
    'train_labels': np.arange(num_train) % 3,
    'test_images': formats.random_images(num_test, 8, 1),
    'test_labels': np.arange(num_test) % 3,
  }
  return {**arrays, **changes}


def _save(path, arrays, kind):
  if kind == 'folder':
    for name, array in arrays.items():
      np.save(path / f'{name}.npy', array)
    return path
  save = np.savez_compressed if kind == 'compressed' else np.savez
  save(path / 'mine.npz', **arrays)
  return path if kind == 'compressed' else path / 'mine.npz'


def _load(data_dir, **changes):
  return load_dataset(formats.settings('arrays', data_dir, **changes))


@pytest.mark.parametrize('kind', ['file', 'compressed', 'folder'])
def test_train_and_test_arrays(tmp_path, kind):
  arrays = _arrays(
    train_ids=np.array([f'mine/{i}' for i in range(30)]),
    class_names=np.array(['a', 'b', 'c', 'd']),
  )
  dataset = _load(_save(tmp_path, arrays, kind))
  np.testing.assert_array_equal(dataset.train.images, arrays['train_images'])
  np.testing.assert_array_equal(dataset.train.labels, arrays['train_labels'])
  np.testing.assert_array_equal(dataset.test.images, arrays['test_images'])
  assert dataset.train.ids[29] == 'mine/29'
  assert dataset.test.ids.tolist() == [f'test_{i:05d}' for i in range(9)]
  assert dataset.class_names == ('a', 'b', 'c', 'd')


def test_single_split_in_fortran_order_and_grey(tmp_path):
  images = np.asfortranarray(formats.random_images(40, 8)[..., 0])
  labels = (np.arange(40) % 4).reshape(-1, 1).astype(np.uint8)
  np.savez(tmp_path / 'mine.npz', images=images, labels=labels)
  dataset = _load(tmp_path, test_fraction=0.25)
  assert dataset.image_shape == (8, 8, 1)
  assert np.bincount(dataset.test.labels).tolist() == [2, 2, 2, 2]
  assert dataset.train.num_examples == 32
  for split in (dataset.train, dataset.test):
    assert split.ids.tolist() == sorted(split.ids)
    for image, label, name in zip(split.images, split.labels, split.ids):
      record = int(name.removeprefix('example_'))
      np.testing.assert_array_equal(image[..., 0], images[record])
      assert label == record % 4


def test_names_stored_as_bytes_and_arrays_of_other_names(tmp_path):
  arrays = _arrays(
    class_names=np.array([b'a', b'b', 'ç'.encode()]),
    test_ids=np.array([f'{i}'.encode() for i in range(9)]),
    version=np.array(3),
    notes=np.array([None]),
  )
  (tmp_path / 'folder').mkdir()
  for kind, path in (('file', tmp_path), ('folder', tmp_path / 'folder')):
    dataset = _load(_save(path, arrays, kind))
    assert dataset.class_names == ('a', 'b', 'ç')
    assert dataset.test.ids[8] == '8'


def test_many_chunks_are_divided_right(tmp_path, monkeypatch):
  monkeypatch.setattr('datadiet.data.pixels._CHUNK_BYTES', 1000)
  arrays = _arrays()
  images, labels = arrays['train_images'], arrays['train_labels']
  np.savez(tmp_path / 'mine.npz', images=images, labels=labels)
  dataset = _load(tmp_path, test_fraction=0.4)
  for split in (dataset.train, dataset.test):
    records = [int(name.removeprefix('example_')) for name in split.ids]
    np.testing.assert_array_equal(split.images, images[records])
    np.testing.assert_array_equal(split.labels, labels[records])


def test_images_are_resized(tmp_path):
  dataset = _load(_save(tmp_path, _arrays(), 'file'), image_size=4)
  assert dataset.train.images.shape == (30, 4, 4, 3)


_IMAGES = formats.random_images(30, 8)


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'train_images': _IMAGES / 255}, 'uint8.*it is float64'),
    ({'train_images': _IMAGES[:29]}, '29 images for 30 labels'),
    ({'train_images': np.moveaxis(_IMAGES, 3, 1)}, 'channels first'),
    ({'train_images': np.zeros((30, 13, 64, 64), np.uint8)}, 'channels first'),
    ({'train_images': np.zeros((30, 3, 24, 20), np.uint8)}, 'channels first'),
    ({'train_images': np.zeros((30, 2, 8, 8), np.uint8)}, 'channels first'),
    ({'train_images': np.zeros((30, 28, 28, 28), np.uint8)}, 'channels first'),
    ({'train_images': np.zeros((30, 8, 0, 3), np.uint8)}, 'no pixels'),
    ({'train_labels': np.zeros(30)}, 'one integer per image.*float64'),
    ({'train_labels': np.zeros((30, 2), int)}, 'one integer per image'),
    ({'train_labels': np.arange(30) - 1}, "'train_00000' has label -1"),
    ({'train_labels': np.full(30, 2**40)}, 'beyond 32 bits'),
    ({'class_names': np.array(['a', 'b'])}, "'train_00002' has label 2"),
    ({'train_ids': np.array(['x'] * 30)}, "the id 'x' occurs 30 times"),
    ({'train_ids': np.arange(29)}, 'train_ids must be 30'),
    ({'train_ids': np.array([None] * 30)}, 'train_ids: it holds Python'),
    ({'class_names': np.zeros(3)}, 'class_names must be 3 texts'),
    ({'test_images': formats.random_images(9, 9)}, 'must be the same'),
  ],
)
def test_faults_are_named(tmp_path, changes, message):
  path = _save(tmp_path, _arrays(**changes), 'file')
  with pytest.raises(DataDietError, match=message) as error:
    _load(path)
  assert 'mine.npz' in str(error.value)


def test_labels_out_of_range_of_a_single_split(tmp_path):
  labels = np.array([0, 1, 5, 0, 1])
  images = formats.random_images(5, 8)
  names = np.array(['a', 'b'])
  np.savez(tmp_path / 'm.npz', images=images, labels=labels, class_names=names)
  with pytest.raises(DataDietError, match="'example_00002' has label 5"):
    _load(tmp_path)


@pytest.mark.parametrize('share', [0.1, 0.6, 0.99])
@pytest.mark.parametrize('kind', ['file', 'compressed', 'folder'])
def test_files_cut_short_are_named(tmp_path, kind, share):
  _save(tmp_path, _arrays(), kind)
  name = 'train_images.npy' if kind == 'folder' else 'mine.npz'
  content = (tmp_path / name).read_bytes()
  (tmp_path / name).write_bytes(content[: int(share * len(content))])
  with pytest.raises(DataDietError, match=f'{name} cannot be read as arrays'):
    _load(tmp_path)


def test_missing_arrays_are_named(tmp_path):
  with pytest.raises(ConfigError, match='dataset.data_dir'):
    _load('')
  with pytest.raises(DataDietError, match='none.npz does not exist'):
    _load(tmp_path / 'none.npz')
  with pytest.raises(DataDietError, match='holds 0 .npz files'):
    _load(tmp_path)
  np.savez(tmp_path / 'mine.npz', images=_IMAGES)
  with pytest.raises(DataDietError, match="no array 'labels', it has images"):
    _load(tmp_path)
  np.savez(tmp_path / 'mine.npz', x_train=_IMAGES, y_train=np.zeros(30, int))
  with pytest.raises(DataDietError, match='it has x_train, y_train'):
    _load(tmp_path)
  with pytest.raises(ConfigError, match="'val'.* is not allowed"):
    _load(tmp_path, train_splits=('train', 'val'))
  with pytest.raises(ConfigError, match="test_split: 'val' is not allowed"):
    _load(tmp_path, test_split='val')
