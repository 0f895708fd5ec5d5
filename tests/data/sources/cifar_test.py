"""Tests of CIFAR-10 and CIFAR-100 from the official python archives."""

import numpy as np
import pytest

from datadiet.data import load_dataset
from datadiet.errors import DataDietError
from tests.data import formats


def _extracted(folder, contents):
  for name, content in contents.items():
    formats.write(folder / name, content)
  return folder


@pytest.mark.parametrize('kind', ['archive', 'its folder', 'above', 'inside'])
def test_cifar10_from_the_archive_and_its_folder(tmp_path, kind):
  contents, train, test = formats.cifar10_files()
  data_dir = tmp_path
  if kind in ('archive', 'its folder'):
    path = tmp_path / 'cifar-10-python.tar.gz'
    formats.write_tar(path, contents.items())
    data_dir = path if kind == 'archive' else tmp_path
  else:
    _extracted(tmp_path, contents)
    data_dir = (
      tmp_path / 'cifar-10-batches-py' if kind == 'inside' else tmp_path
    )
  dataset = load_dataset(formats.settings('cifar10', data_dir))
  for split, (images, labels) in ((dataset.train, train), (dataset.test, test)):
    np.testing.assert_array_equal(split.images, images)
    np.testing.assert_array_equal(split.labels, labels)
  # TFDS's numbering: batches 1 to 5 one after the other.
  assert dataset.train.ids.tolist() == [f'train_{i:05d}' for i in range(20)]
  assert dataset.test.ids.tolist() == [f'test_{i:05d}' for i in range(4)]
  assert list(dataset.class_names) == formats.CIFAR10_NAMES
  np.testing.assert_allclose(dataset.mean, [0.4914, 0.4822, 0.4465])


@pytest.mark.parametrize('label_key', ['', 'label', 'coarse_label'])
def test_cifar100_has_fine_and_coarse_labels(tmp_path, label_key):
  contents, images, fine, coarse = formats.cifar100_files()
  formats.write_tar(tmp_path / 'cifar-100-python.tar.gz', contents.items())
  dataset = load_dataset(
    formats.settings('cifar100', tmp_path, label_key=label_key)
  )
  is_coarse = label_key == 'coarse_label'
  labels = coarse if is_coarse else fine
  np.testing.assert_array_equal(dataset.train.images, images[:40])
  np.testing.assert_array_equal(dataset.train.labels, labels[:40])
  np.testing.assert_array_equal(dataset.test.labels, labels[40:])
  assert dataset.num_classes == (20 if is_coarse else 100)
  assert dataset.class_names[3] == ('coarse_03' if is_coarse else 'fine_03')
  assert dataset.train.ids[39] == 'train_00039'


def test_unknown_label_key_lists_the_known(tmp_path):
  contents, *_ = formats.cifar100_files()
  _extracted(tmp_path, contents)
  with pytest.raises(DataDietError, match="'fine'.*label, coarse_label"):
    load_dataset(formats.settings('cifar100', tmp_path, label_key='fine'))


@pytest.mark.parametrize('share', [0.02, 0.5, 0.99, 0.9999])
def test_archive_cut_short_is_named(tmp_path, share):
  contents, *_ = formats.cifar10_files()
  path = tmp_path / 'cifar-10-python.tar.gz'
  formats.write_tar(path, contents.items())
  content = path.read_bytes()
  path.write_bytes(content[: int(share * len(content))])
  with pytest.raises(DataDietError, match='cifar-10-python.tar.gz.*cut short'):
    load_dataset(formats.settings('cifar10', tmp_path))


def test_damaged_and_missing_files_are_named(tmp_path):
  contents, *_ = formats.cifar10_files()
  _extracted(tmp_path, contents)
  folder = tmp_path / 'cifar-10-batches-py'
  cut = (folder / 'data_batch_2').read_bytes()[:5000]
  (folder / 'data_batch_2').write_bytes(cut)
  with pytest.raises(DataDietError, match='data_batch_2 is cut short'):
    load_dataset(formats.settings('cifar10', tmp_path))
  (folder / 'data_batch_2').unlink()
  with pytest.raises(DataDietError, match='no file data_batch_2'):
    load_dataset(formats.settings('cifar10', tmp_path))


def test_archive_is_read_where_it_is_only_partly_extracted(tmp_path):
  contents, (images, _), _ = formats.cifar10_files()
  formats.write_tar(tmp_path / 'cifar-10-python.tar.gz', contents.items())
  (tmp_path / 'cifar-10-batches-py').mkdir()
  dataset = load_dataset(formats.settings('cifar10', tmp_path))
  np.testing.assert_array_equal(dataset.train.images, images)


def test_archive_without_a_file_is_not_complete(tmp_path):
  contents, *_ = formats.cifar10_files()
  del contents['cifar-10-batches-py/test_batch']
  formats.write_tar(tmp_path / 'cifar-10-python.tar.gz', contents.items())
  with pytest.raises(DataDietError, match='no file .*test_batch'):
    load_dataset(formats.settings('cifar10', tmp_path))


def test_batch_with_too_few_images_is_not_complete(tmp_path):
  contents, *_ = formats.cifar10_files(4)
  short, *_ = formats.cifar10_files(3)
  name = 'cifar-10-batches-py/data_batch_3'
  _extracted(tmp_path, {**contents, name: short[name]})
  with pytest.raises(DataDietError, match='data_batch_3.*3 images of 4'):
    load_dataset(formats.settings('cifar10', tmp_path))


def test_labels_out_of_range_are_named(tmp_path):
  contents, *_ = formats.cifar10_files()
  meta = {'num_cases_per_batch': 4, 'label_names': ['only', 'two', 'three']}
  name = 'cifar-10-batches-py/batches.meta'
  _extracted(tmp_path, {**contents, name: formats.pickle_of_python_2(meta)})
  message = "cifar-10-batches-py, train: example 'train_00001' has label 7"
  with pytest.raises(DataDietError, match=message):
    load_dataset(formats.settings('cifar10', tmp_path))


def test_pickle_that_would_run_something_is_refused(tmp_path):
  contents, *_ = formats.cifar10_files()
  name = 'cifar-10-batches-py/data_batch_1'
  harmful = b'cos\nsystem\n(U\x04trueR.'
  _extracted(tmp_path, {**contents, name: harmful})
  with pytest.raises(DataDietError, match=r'would import os\.system'):
    load_dataset(formats.settings('cifar10', tmp_path))


def test_missing_data_says_what_to_put_where(tmp_path):
  with pytest.raises(DataDietError, match='cifar-100-python.tar.gz') as error:
    load_dataset(formats.settings('cifar100', tmp_path))
  assert str(tmp_path) in str(error.value)
