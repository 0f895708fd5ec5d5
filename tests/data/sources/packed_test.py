"""Tests of data sets packed into one file."""

import numpy as np
import pytest

from datadiet.data import load_dataset
from datadiet.data.sources.packed import write_packed
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats

NAMES = ('cat', 'dog')
IMAGES = {
  'train': formats.random_images(9, seed=1),
  'test': formats.random_images(4, seed=2),
}
LABELS = {'train': [0, 1, 1, 0, 1, 0, 0, 1, 1], 'test': [1, 0, 1, 0]}
IDS = {
  split: [f'{split}_{7 * i % 10}' for i in range(len(images))]
  for split, images in IMAGES.items()
}


def _write(path, **options):
  files = {
    split: [formats.encode(image) for image in images]
    for split, images in IMAGES.items()
  }
  write_packed(path, files, LABELS, IDS, NAMES, **options)
  return path


def test_comes_back_as_it_was(tmp_path):
  path = _write(
    tmp_path / 'pack.npz', mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0)
  )
  found = load_dataset(formats.settings('packed', path))
  for split in ('train', 'test'):
    part = getattr(found, split)
    np.testing.assert_array_equal(part.images, IMAGES[split])
    assert part.labels.tolist() == LABELS[split]
    assert part.ids.tolist() == IDS[split]
  assert found.class_names == NAMES
  np.testing.assert_allclose(found.mean, [0.1, 0.2, 0.3])
  np.testing.assert_allclose(found.std, [1.0, 2.0, 3.0])


def test_is_the_same_data_as_arrays_of_its_pixels(tmp_path):
  """Scores made from a pack are of the data set that was packed."""
  arrays = {f'{split}_images': images for split, images in IMAGES.items()}
  arrays |= {f'{split}_labels': labels for split, labels in LABELS.items()}
  arrays |= {f'{split}_ids': ids for split, ids in IDS.items()}
  np.savez(tmp_path / 'arrays.npz', **arrays)
  plain = load_dataset(formats.settings('arrays', tmp_path / 'arrays.npz'))
  packed = load_dataset(
    formats.settings('packed', _write(tmp_path / 'pack.npz'))
  )
  assert packed.fingerprint == plain.fingerprint
  np.testing.assert_array_equal(packed.mean, plain.mean)


def test_a_changed_pack_is_read_anew(tmp_path):
  settings = formats.settings(
    'packed', tmp_path / 'pack.npz', cache_dir=tmp_path / 'cache'
  )
  _write(tmp_path / 'pack.npz')
  first = load_dataset(settings)
  assert load_dataset(settings).fingerprint == first.fingerprint
  files = {
    split: [formats.encode(255 - image) for image in images]
    for split, images in IMAGES.items()
  }
  write_packed(tmp_path / 'pack.npz', files, LABELS, IDS, NAMES)
  assert load_dataset(settings).fingerprint != first.fingerprint


def _refusal(path, error=DataDietError):
  with pytest.raises(error) as caught:
    load_dataset(formats.settings('packed', path))
  assert '\n' not in str(caught.value)
  return str(caught.value)


def test_what_is_no_pack_is_refused(tmp_path):
  assert "'' is not allowed" in _refusal('', ConfigError)
  assert 'is not a file' in _refusal(tmp_path)
  (tmp_path / 'text.npz').write_text('hello')
  assert 'cannot be read as a .npz file' in _refusal(tmp_path / 'text.npz')
  np.save(tmp_path / 'array.npy', np.zeros(3))
  assert 'cannot be read as a .npz file' in _refusal(tmp_path / 'array.npy')
  np.savez(tmp_path / 'other.npz', images=np.zeros(3))
  assert "no array 'train_files'" in _refusal(tmp_path / 'other.npz')


@pytest.mark.parametrize('key', ['train_ends', 'test_labels', 'train_files'])
def test_a_pack_that_is_cut_is_refused(tmp_path, key):
  with np.load(_write(tmp_path / 'pack.npz')) as stored:
    arrays = dict(stored)
  arrays[key] = arrays[key][:-1]
  np.savez(tmp_path / 'cut.npz', **arrays)
  assert 'do not fit together' in _refusal(tmp_path / 'cut.npz')
