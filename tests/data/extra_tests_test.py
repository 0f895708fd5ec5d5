"""Tests of further test splits: what is read, and what is refused."""

import numpy as np
import pytest

from datadiet.data import load_dataset
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats

IMAGES = formats.random_images(12, 8)
LABELS = np.arange(12) % 3


def _load(tmp_path, extra_tests, **changes):
  folder = tmp_path / 'arrays'
  if not folder.exists():
    folder.mkdir()
    for num, name in ((30, 'train'), (9, 'test')):
      np.save(folder / f'{name}_images.npy', formats.random_images(num, 8, num))
      np.save(folder / f'{name}_labels.npy', np.arange(num) % 3)
  settings = formats.settings(
    'arrays',
    folder,
    **changes,
    extra_tests={k: str(v) for k, v in extra_tests.items()},
  )
  return load_dataset(settings)


def _corrupted(tmp_path, images=IMAGES, labels=LABELS, name='fog.npy'):
  """As CIFAR-10-C has them: arrays beside labels that all of them share."""
  folder = tmp_path / 'c'
  folder.mkdir(exist_ok=True)
  np.save(folder / name, images)
  if labels is not None:
    np.save(folder / 'labels.npy', labels)
  return folder / name


def test_arrays_beside_shared_labels(tmp_path):
  paths = {
    'fog': _corrupted(tmp_path),
    'snow': _corrupted(tmp_path, 255 - IMAGES, name='snow.npy'),
  }
  dataset = _load(tmp_path, paths)
  assert list(dataset.extra_tests) == ['fog', 'snow']
  np.testing.assert_array_equal(dataset.extra_tests['fog'].images, IMAGES)
  np.testing.assert_array_equal(
    dataset.extra_tests['snow'].images, 255 - IMAGES
  )
  np.testing.assert_array_equal(dataset.extra_tests['snow'].labels, LABELS)
  plain = _load(tmp_path, {})
  assert plain.fingerprint == dataset.fingerprint
  described = dataset.description()
  extra = described.pop('extra_tests')
  assert described == plain.description()
  assert extra['fog']['num_examples'] == 12
  assert extra['fog']['fingerprint'] != extra['snow']['fingerprint']


def test_an_array_with_labels_of_its_own(tmp_path):
  """As CIFAR-10.1 has them."""
  np.save(tmp_path / 'cifar10.1_v6_data.npy', IMAGES)
  np.save(tmp_path / 'cifar10.1_v6_labels.npy', LABELS[::-1].astype(np.int32))
  np.save(tmp_path / 'labels.npy', LABELS)
  found = _load(tmp_path, {'v6': tmp_path / 'cifar10.1_v6_data.npy'})
  np.testing.assert_array_equal(found.extra_tests['v6'].labels, LABELS[::-1])


def test_a_folder_of_classes_is_decoded_to_the_size_of_the_data(tmp_path):
  for i, label in enumerate(LABELS):
    content = formats.encode(np.full((16, 16, 3), 10 * i, np.uint8))
    formats.write(tmp_path / 'new' / str(label) / f'{i:02d}.png', content)
  split = _load(tmp_path, {'new': tmp_path / 'new'}).extra_tests['new']
  assert split.images.shape == (12, 8, 8, 3)
  order = np.argsort(LABELS, kind='stable')
  np.testing.assert_array_equal(split.labels, LABELS[order])
  np.testing.assert_array_equal(split.images[:, 0, 0, 0], 10 * order)


def test_networks_see_the_same_square_of_it(tmp_path):
  found = _load(tmp_path, {'fog': _corrupted(tmp_path)}, crop_size=6)
  assert found.extra_tests['fog'].crop_size == found.test.crop_size == 6


@pytest.mark.parametrize(
  'images, labels, message',
  [
    (IMAGES, LABELS[:11], 'labels must be 12 integers, .* int64 .11.'),
    (IMAGES, LABELS / 2, 'labels must be 12 integers'),
    (IMAGES, LABELS + 1, "'fog_00002' has label 3, allowed are 0 to 2"),
    (IMAGES, LABELS - 1, 'has label -1'),
    (IMAGES, np.full(12, 2**33), 'allowed are 0 to 2'),
    (IMAGES[:, :6], LABELS, r'shape \[6, 8, 3\], those of arrays \[8, 8, 3\]'),
    (IMAGES[..., 0], LABELS, r'shape \[8, 8, 1\]'),
    (IMAGES / 255, LABELS, 'must be uint8 .*float64'),
    (IMAGES[:0], LABELS[:0], r'must be uint8 .*\[0, 8, 8, 3\]'),
    (np.array([None]), LABELS, 'fog.npy .* Python objects'),
    (IMAGES * 0, LABELS, 'all pixels of all 12 images are the same'),
  ],
)
def test_what_does_not_fit_is_refused(tmp_path, images, labels, message):
  path = _corrupted(tmp_path, images, labels)
  with pytest.raises(DataDietError, match=message) as error:
    _load(tmp_path, {'fog': path})
  assert str(path) in str(error.value)
  assert '\n' not in str(error.value)


def test_paths_that_are_nothing_are_refused(tmp_path):
  with pytest.raises(ConfigError, match='extra_tests.fog.*does not exist'):
    _load(tmp_path, {'fog': tmp_path / 'nowhere.npy'})
  alone = _corrupted(tmp_path, labels=None)
  with pytest.raises(ConfigError, match='no labels in .*c/labels.npy'):
    _load(tmp_path, {'fog': alone})
  (tmp_path / 'fog.txt').write_text('no array')
  with pytest.raises(ConfigError, match='allowed: a .npy file of images'):
    _load(tmp_path, {'fog': tmp_path / 'fog.txt'})
  (alone.parent / 'labels.npy').write_bytes(b'\x93NUMPY')
  with pytest.raises(DataDietError, match='labels.npy cannot be read'):
    _load(tmp_path, {'fog': alone})


def test_folders_of_other_classes_are_refused(tmp_path):
  for name in ('0', 'cat'):
    content = formats.encode(IMAGES[0])
    formats.write(tmp_path / 'new' / name / 'one.png', content)
  with pytest.raises(DataDietError, match="'cat' is not a class"):
    _load(tmp_path, {'new': tmp_path / 'new'})
