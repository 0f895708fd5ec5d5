"""Tests of the data contract."""

import dataclasses

import numpy as np
import pytest

from datadiet.data import DATASETS, load_dataset, pixels
from datadiet.data import dataset as dataset_lib
from datadiet.data.dataset import Split, make_dataset
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats


def _split(num=10, size=4, **changes):
  split = Split(
    formats.random_images(num, size),
    (np.arange(num) % 3).astype(np.int32),
    np.array([f'train_{i:05d}' for i in range(num)]),
  )
  return dataclasses.replace(split, **changes)


@pytest.mark.parametrize(
  'changes, message',
  [
    ({'labels': np.zeros(9, np.int32)}, '10, 9 and 10'),
    ({'labels': np.zeros(10, np.int64)}, 'labels must be int32'),
    ({'images': np.zeros((10, 4, 4, 3))}, 'must be uint8'),
    ({'images': np.zeros((10, 4, 4), np.uint8)}, 'must be uint8'),
    ({'columns': {'origin': np.zeros(9)}}, "'origin' of a split has 9"),
  ],
)
def test_split_must_be_whole(changes, message):
  with pytest.raises(DataDietError, match=message):
    _split(**changes)


# Digits come with a library, mnist by TensorFlow Datasets.
@pytest.mark.parametrize('name', sorted({*DATASETS, 'mnist'} - {'digits'}))
def test_a_wrong_data_dir_is_a_wrong_setting(name, tmp_path):
  """Which no launcher starts again."""
  where = tmp_path / 'nowhere'
  with pytest.raises(ConfigError, match=f'config.dataset.data_dir: {where}'):
    load_dataset(formats.settings(name, where))


@pytest.mark.parametrize(
  'train, message',
  [
    (_split(labels=np.full(10, 3, np.int32)), "'train_00000' has label 3"),
    (_split(labels=np.full(10, -1, np.int32)), 'has label -1'),
    (_split(ids=np.array(['same'] * 10)), "'same' occurs 10 times"),
    (_split(num=0), 'has no examples'),
    (_split(size=5), 'must be the same'),
  ],
)
def test_data_set_refuses_wrong_splits(train, message):
  with pytest.raises(DataDietError, match=f'here.*{message}'):
    make_dataset('set', train, _split(), ('a', 'b', 'c'), source='here')


def test_classes_without_examples_are_told_of(caplog):
  caplog.set_level('WARNING')
  names = ('a', 'b', 'c', 'd')
  labels = np.zeros(10, np.int32)
  make_dataset('set', _split(), _split(labels=labels), names, source='here')
  assert 'here, train has no examples of 1 of 4 classes: d' in caplog.text
  assert 'here, test has no examples of 3 of 4 classes: b, c, d' in caplog.text


@pytest.mark.parametrize('chunk_bytes', [1, 100, 2**24])
def test_statistics_are_exact_in_chunks(monkeypatch, chunk_bytes):
  monkeypatch.setattr(pixels, '_CHUNK_BYTES', chunk_bytes)
  # An odd number of pixels.
  images = formats.random_images(51, 7)
  mean, std = pixels.survey(images).statistics()
  scaled = images.astype(np.float64) / 255
  np.testing.assert_allclose(mean, scaled.mean((0, 1, 2)), rtol=1e-6)
  np.testing.assert_allclose(std, scaled.std((0, 1, 2)), rtol=1e-6)
  constant = np.full((2, 4, 4, 3), 7, np.uint8)
  assert pixels.survey(constant).statistics()[1].tolist() == [1, 1, 1]


def test_fingerprint_depends_on_pixels_ids_labels_and_order(monkeypatch):
  split = _split()
  before = dataset_lib.fingerprint(split, split)
  monkeypatch.setattr(pixels, '_CHUNK_BYTES', 100)
  assert dataset_lib.fingerprint(split, split) == before
  images = split.images.copy()
  images[9, 3, 3, 2] ^= 1
  changes = [
    {'images': images},
    {'labels': split.labels[::-1].copy()},
    {'ids': np.array([*split.ids[:-1], 'other'])},
    {name: getattr(split, name)[::-1] for name in ('images', 'labels', 'ids')},
  ]
  others = {
    dataset_lib.fingerprint(dataclasses.replace(split, **change), split)
    for change in changes
  }
  assert len(others | {before}) == 5


def test_labels_changed_on_purpose_have_a_hash_of_their_own():
  dataset = make_dataset('set', _split(), _split(), ('a', 'b', 'c'))
  assert dataset.labels_fingerprint is None
  labels = dataset.train.labels[::-1].copy()
  changed = dataclasses.replace(
    dataset,
    train=dataclasses.replace(dataset.train, labels=labels),
    original_labels=dataset.train.labels,
  )
  assert changed.labels_fingerprint
  assert changed.description()['fingerprint'] == dataset.fingerprint


def test_digits_are_the_documented_split():
  dataset = load_dataset(formats.settings('digits', ''))
  assert dataset.train.num_examples == 1437
  assert dataset.test.num_examples == 360
  assert np.bincount(dataset.test.labels).min() >= 34
  assert not set(dataset.train.ids) & set(dataset.test.ids)
  assert dataset.image_shape == (8, 8, 1)


def test_every_named_set_is_known():
  assert set(DATASETS) == {
    'digits',
    'cifar10',
    'cifar100',
    'cinic10',
    'image_folder',
    'imagenet',
    'arrays',
    'hugging_face',
  }
