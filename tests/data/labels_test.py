"""Tests of label noise and of labels from a file."""

import dataclasses

import numpy as np
import pytest

from datadiet.data import labels as labels_lib
from datadiet.data import load_dataset
from datadiet.data.dataset import Split, make_dataset
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats

N = 1000


def _dataset(class_names=tuple('abcd'), num=N):
  labels = (np.arange(num) * 7 % len(class_names)).astype(np.int32)
  images = formats.random_images(num, 4)
  ids = np.array([f'train_{i:05d}' for i in range(num)])
  split = Split(images, labels, ids)
  return make_dataset('set', split, split, class_names)


def _settings(fraction=0.0, seed=0, kind='permute', labels_path=''):
  noise = {'fraction': fraction, 'seed': seed, 'kind': kind}
  return formats.settings(
    'set',
    '',
    labels_path=str(labels_path),
    **{f'label_noise.{name}': value for name, value in noise.items()},
  )


def test_nothing_asked_changes_nothing():
  dataset = _dataset()
  assert labels_lib.apply_labels(dataset, _settings()) is dataset


@pytest.mark.parametrize('kind', list(labels_lib.NOISES))
def test_only_train_labels_change(kind):
  dataset = _dataset()
  before = dataset.train.labels.copy()
  noisy = labels_lib.apply_labels(dataset, _settings(0.2, kind=kind))
  np.testing.assert_array_equal(dataset.train.labels, before)
  np.testing.assert_array_equal(noisy.original_labels, before)
  np.testing.assert_array_equal(noisy.train.ids, dataset.train.ids)
  assert noisy.train.images is dataset.train.images
  assert noisy.test is dataset.test
  assert noisy.fingerprint == dataset.fingerprint
  assert noisy.labels_fingerprint is not None
  assert noisy.train.labels.dtype == np.int32
  assert (noisy.train.labels != before).any()


@pytest.mark.parametrize('kind', list(labels_lib.NOISES))
def test_noise_is_a_function_of_the_seed(kind):
  dataset = _dataset()

  def draw(seed):
    settings = _settings(0.3, seed, kind)
    return labels_lib.apply_labels(dataset, settings).train.labels

  np.testing.assert_array_equal(draw(1), draw(1))
  assert (draw(1) != draw(2)).any()


def test_permuted_labels_keep_class_counts():
  dataset = _dataset()
  noisy = labels_lib.apply_labels(dataset, _settings(0.2)).train.labels
  before = dataset.train.labels
  assert np.bincount(noisy).tolist() == np.bincount(before).tolist()
  # Of 200 drawn, about one in four keeps its label by chance.
  assert 120 <= (noisy != before).sum() <= 180


def test_uniform_noise_changes_exactly_the_fraction():
  dataset = _dataset()
  settings = _settings(0.4, kind='uniform')
  noisy = labels_lib.apply_labels(dataset, settings).train.labels
  changed = noisy != dataset.train.labels
  assert changed.sum() == 400
  # Each of the three other classes is as likely.
  shift = (noisy - dataset.train.labels)[changed] % 4
  counts = np.bincount(shift, minlength=4)
  assert counts[0] == 0
  assert counts[1:].min() > 100


def test_asymmetric_noise_goes_to_the_next_class():
  dataset = _dataset()
  settings = _settings(0.1, kind='asymmetric')
  noisy = labels_lib.apply_labels(dataset, settings).train.labels
  changed = noisy != dataset.train.labels
  before = dataset.train.labels[changed]
  np.testing.assert_array_equal(noisy[changed], (before + 1) % 4)
  assert np.bincount(before).tolist() == [25, 25, 25, 25]


def test_asymmetric_noise_of_cifar10_is_the_usual_pairs():
  dataset = _dataset(tuple(formats.CIFAR10_NAMES))
  settings = _settings(0.5, kind='asymmetric')
  noisy = labels_lib.apply_labels(dataset, settings).train.labels
  names = np.array(formats.CIFAR10_NAMES)
  changed = noisy != dataset.train.labels
  pairs = set(zip(names[dataset.train.labels[changed]], names[noisy[changed]]))
  assert pairs == {
    ('truck', 'automobile'),
    ('bird', 'airplane'),
    ('deer', 'horse'),
    ('cat', 'dog'),
    ('dog', 'cat'),
  }
  assert changed.sum() == 5 * 50


@pytest.mark.parametrize('fraction', [0.0, 1.0])
@pytest.mark.parametrize('kind', list(labels_lib.NOISES))
def test_noise_of_nothing_and_of_everything(kind, fraction):
  labels = _dataset().train.labels
  noisy = labels_lib.noisy_labels(
    labels, tuple('abcd'), fraction=fraction, seed=0, kind=kind
  )
  if fraction == 0.0:
    np.testing.assert_array_equal(noisy, labels)
  elif kind != 'permute':
    assert (noisy != labels).all()
  assert noisy.min() >= 0 and noisy.max() <= 3


def test_labels_from_npy(tmp_path):
  dataset = _dataset()
  path = tmp_path / 'labels.npy'
  np.save(path, (dataset.train.labels + 1) % 4)
  changed = labels_lib.apply_labels(dataset, _settings(labels_path=path))
  np.testing.assert_array_equal(
    changed.train.labels, (dataset.train.labels + 1) % 4
  )
  np.testing.assert_array_equal(changed.original_labels, dataset.train.labels)


def test_labels_from_csv_by_id(tmp_path):
  dataset = _dataset(num=6)
  path = tmp_path / 'labels.csv'
  for column in ('3,1,0,2,1, 3 ', 'd,b,a,c,b, d '):
    rows = zip((3, 1, 0, 2, 5, 4), column.split(','))
    text = ''.join(f'train_0000{i},{label},x\n' for i, label in rows)
    for encoding in ('utf-8', 'utf-8-sig'):
      path.write_text('id,label,by\n' + text, encoding)
      changed = labels_lib.apply_labels(dataset, _settings(labels_path=path))
      assert changed.train.labels.tolist() == [0, 1, 2, 3, 3, 1]


def test_class_names_that_are_numbers_come_before_numbers(tmp_path):
  dataset = _dataset(class_names=('7', '3'), num=2)
  path = tmp_path / 'labels.csv'
  path.write_text('id,label\ntrain_00000,3\ntrain_00001,7\n')
  changed = labels_lib.apply_labels(dataset, _settings(labels_path=path))
  assert changed.train.labels.tolist() == [1, 0]


@pytest.mark.parametrize(
  'text, message',
  [
    ('id,label\n', 'has no rows'),
    ('id,label\ntrain_00000,0\ntrain_00001,b\n', 'names alone or numbers'),
    ('id,label\ntrain_00000,0\ntrain_00000,1\n', "'train_00000' twice"),
    ('id,label\ntrain_00000,0\nother,1\n', "'other' is no id"),
    ('id,label\ntrain_00000,0\ntrain_00001,4\n', "'train_00001' has label 4"),
    ('id,label\ntrain_00000,0\ntrain_00001,z\n', 'neither a class name'),
    ('id,label\ntrain_00000,0\ntrain_00001\n', 'neither a class name'),
    ('name,label\ntrain_00000,0\n', "no column 'id'"),
    ('', "no column 'id'"),
    ('id,label\n\xff', 'not a CSV file'),
  ],
)
def test_wrong_csv_is_named(tmp_path, text, message):
  path = tmp_path / 'labels.csv'
  path.write_bytes(text.encode('latin1'))
  with pytest.raises(DataDietError, match=message) as error:
    labels_lib.apply_labels(_dataset(num=2), _settings(labels_path=path))
  assert 'labels.csv' in str(error.value)


@pytest.mark.parametrize(
  'labels, message',
  [
    (np.zeros(3, int), r'must hold 2 integers.*it has int64 \[3\]'),
    (np.zeros((2, 2), int), 'must hold 2 integers'),
    (np.zeros(2), 'must hold 2 integers'),
    (np.array([0, 4]), "'train_00001' has label 4, allowed are 0 to 3"),
    (np.array([-1, 0]), "'train_00000' has label -1"),
  ],
)
def test_wrong_npy_is_named(tmp_path, labels, message):
  path = tmp_path / 'labels.npy'
  np.save(path, labels)
  with pytest.raises(DataDietError, match=message) as error:
    labels_lib.apply_labels(_dataset(num=2), _settings(labels_path=path))
  assert 'labels.npy' in str(error.value)


def test_wrong_settings_of_labels_are_refused(tmp_path):
  dataset = _dataset(num=2)
  for name in ('labels.txt', 'labels'):
    with pytest.raises(ConfigError, match='labels_path'):
      labels_lib.apply_labels(dataset, _settings(labels_path=name))
  with pytest.raises(DataDietError, match='missing.csv does not exist'):
    path = tmp_path / 'missing.csv'
    labels_lib.apply_labels(dataset, _settings(labels_path=path))
  with pytest.raises(ConfigError, match='label_noise.fraction'):
    settings = _settings(0.2, labels_path='labels.npy')
    labels_lib.apply_labels(dataset, settings)


def test_loading_applies_noise_after_the_cache(tmp_path):
  formats.write_image_folder(tmp_path / 'data', {'a': 40, 'b': 40})
  place = 'image_folder', tmp_path / 'data', tmp_path / 'cache'
  settings = formats.settings(*place)
  clean = load_dataset(settings)
  noisy = load_dataset(
    formats.settings(*place, **{'label_noise.fraction': 0.5})
  )
  assert noisy.fingerprint == clean.fingerprint
  assert (noisy.train.labels != clean.train.labels).any()
  np.testing.assert_array_equal(noisy.original_labels, clean.train.labels)
  again = load_dataset(settings)
  np.testing.assert_array_equal(again.train.labels, clean.train.labels)
  assert dataclasses.asdict(again)['original_labels'] is None
