"""Labels of CIFAR-10N and CIFAR-100N, by people: in the order of torchvision.

DATADIET_CIFAR_N names a folder with the files of github.com/UCSC-REAL/
cifar-10-100n (CIFAR-10_human.pt, CIFAR-100_human.pt, image_order_c10.npy,
image_order_c100.npy); without it the tests make small ones of the same form.
"""

import os
import pathlib

import numpy as np
import pytest

from datadiet.data import labels as labels_lib
from datadiet.data import load_dataset
from datadiet.data.dataset import Split, make_dataset
from datadiet.data.label_arrays import read_arrays
from datadiet.errors import DataDietError
from tests.data import formats

GENUINE = os.environ.get('DATADIET_CIFAR_N')
_NUM = 600
# Wei et al. 2022, arXiv 2110.12088, table 2: the share of wrong labels.
RATES = {
  'aggre_label': 0.0903,
  'random_label1': 0.1723,
  'random_label2': 0.1812,
  'random_label3': 0.1764,
  'worse_label': 0.4021,
}
FINE_RATE = 0.4020


def _noisy(rng, clean, rate, num_classes):
  labels = clean.copy()
  wrong = rng.permutation(len(clean))[: round(rate * len(clean))]
  moved = clean[wrong] + rng.integers(1, num_classes, len(wrong))
  labels[wrong] = moved % num_classes
  return labels


def _make(folder):
  """Small files as the authors' are: int64 arrays in a dictionary."""
  rng = np.random.default_rng(0)
  for num_classes in (10, 100):
    clean = rng.permutation(np.arange(_NUM) % num_classes)
    if num_classes == 10:
      found = {'clean_label': clean} | {
        name: _noisy(rng, clean, rate, 10) for name, rate in RATES.items()
      }
    else:
      noisy = _noisy(rng, clean, FINE_RATE, 100)
      found = {'clean_label': clean, 'noisy_label': noisy} | {
        'clean_coarse_label': clean // 5,
        'noisy_coarse_label': noisy // 5,
      }
    formats.save_torch(folder / f'CIFAR-{num_classes}_human.pt', found)
    order = rng.permutation(_NUM)
    np.save(folder / f'image_order_c{num_classes}.npy', order)
  return folder


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """The folder of the files, genuine or made."""
  if GENUINE:
    return pathlib.Path(GENUINE).expanduser().absolute()
  return _make(tmp_path_factory.mktemp('cifar_n'))


def _arrays(folder, num_classes):
  path = folder / f'CIFAR-{num_classes}_human.pt'
  return path, read_arrays(path, path.read_bytes())


def _dataset(folder, num_classes, array='clean_label'):
  """Records as TFDS has them: in its order, with torchvision's number as id."""
  order = np.load(folder / f'image_order_c{num_classes}.npy')
  labels = _arrays(folder, num_classes)[1][array][order].astype(np.int32)
  images = formats.random_images(len(order), 2)
  ids = np.array([f'train_{number:05d}' for number in order])
  names = tuple(f'class {i}' for i in range(labels.max() + 1))
  test = Split(images[:50], labels[:50], np.arange(50).astype(str))
  return make_dataset('cifar', Split(images, labels, ids), test, names), order


def _read(dataset, path):
  settings = formats.settings('cifar', '', labels_path=str(path))
  return labels_lib.apply_labels(dataset, settings).train.labels


@pytest.mark.parametrize('name', list(RATES))
def test_each_example_gets_the_label_that_people_gave_it(folder, name):
  dataset, order = _dataset(folder, 10)
  path, arrays = _arrays(folder, 10)
  labels = _read(dataset, f'{path}:{name}')
  np.testing.assert_array_equal(labels, arrays[name][order])
  # In another order nine of ten would have changed.
  changed = (labels != dataset.train.labels).mean()
  assert changed == pytest.approx(RATES[name], abs=2e-3)


def test_fine_labels_of_cifar_100n(folder):
  dataset, order = _dataset(folder, 100)
  path, arrays = _arrays(folder, 100)
  labels = _read(dataset, f'{path}:noisy_label')
  np.testing.assert_array_equal(labels, arrays['noisy_label'][order])
  changed = (labels != dataset.train.labels).mean()
  assert changed == pytest.approx(FINE_RATE, abs=2e-3)


def test_coarse_labels_are_refused_for_fine_classes_and_the_other_way(folder):
  """Numbers below 20 are numbers of a hundred classes, too."""
  path, arrays = _arrays(folder, 100)
  fine, _ = _dataset(folder, 100)
  with pytest.raises(DataDietError, match='other data or other classes'):
    _read(fine, f'{path}:noisy_coarse_label')
  coarse, order = _dataset(folder, 100, 'clean_coarse_label')
  labels = _read(coarse, f'{path}:noisy_coarse_label')
  np.testing.assert_array_equal(labels, arrays['noisy_coarse_label'][order])
  with pytest.raises(DataDietError):
    _read(coarse, f'{path}:noisy_label')


def test_labels_of_cifar_10n_are_none_of_cifar_100(folder):
  dataset, _ = _dataset(folder, 100)
  path, _ = _arrays(folder, 10)
  with pytest.raises(
    DataDietError, match='belongs to other data|train example'
  ):
    _read(dataset, f'{path}:worse_label')


@pytest.mark.skipif(not GENUINE, reason='needs DATADIET_CIFAR_N')
@pytest.mark.skipif(not formats.HAS_CIFAR10, reason=formats.NEEDS_CIFAR10)
def test_the_real_images_get_their_labels(folder):
  """The authors' own table of TFDS's order is that of the ids."""
  path, arrays = _arrays(folder, 10)
  settings = formats.settings(
    'cifar10',
    formats.TEST_DATA,
    cache_dir='',
    labels_path=f'{path}:worse_label',
  )
  dataset = load_dataset(settings)
  order = np.load(folder / 'image_order_c10.npy')
  ids = [f'train_{number:05d}' for number in order]
  assert dataset.train.ids.tolist() == ids
  np.testing.assert_array_equal(
    dataset.train.labels, arrays['worse_label'][order]
  )
  np.testing.assert_array_equal(
    dataset.original_labels, arrays['clean_label'][order]
  )
