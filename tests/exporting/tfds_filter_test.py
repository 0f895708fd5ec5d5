"""Tests of the filter for TensorFlow Datasets, by running it."""

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.exporting import export_selection
from tests.data import formats
from tests.data.sources import tfds_test


@pytest.mark.parametrize('with_id', [True, False])
def test_the_filter_gives_the_same_images_in_order(
  make_subset, tmp_path, with_id
):
  pytest.importorskip('tensorflow_datasets')
  images = formats.random_images(20, 8)
  labels = np.arange(20) % 3
  splits = {'train': (images, labels), 'test': (images[:3], labels[:3])}
  folder = tmp_path / 'tfds' / 'tiny' / '1.0.0'
  tfds_test.write_set(folder, splits, with_id=with_id)
  subset = make_subset(formats.settings('tiny', tmp_path / 'tfds'))
  root = subset.results.workdir.root
  output = export_selection(root, 'some', 'tfds', tmp_path / 'out')
  made = {}
  exec((output / 'filter.py').read_text(), made)
  examples = list(made['dataset'].as_numpy_iterator())
  found = np.stack([example['image'] for example in examples])
  np.testing.assert_array_equal(found, images[subset.example_index])
  found = [int(example['label']) for example in examples]
  assert found == labels[subset.example_index].tolist()


def test_a_set_that_its_filter_could_not_read(make_subset, tmp_path):
  pytest.importorskip('tensorflow_datasets')
  splits = {
    name: (formats.random_images(20, 8), np.arange(20) % 3)
    for name in ('train', 'test')
  }
  folder = tmp_path / 'tfds' / 'tiny' / '1.0.0'
  tfds_test.write_set(folder, splits, file_format='array_record')
  subset = make_subset(formats.settings('tiny', tmp_path / 'tfds'))
  root = subset.results.workdir.root
  with pytest.raises(DataDietError, match='tiny/1.0.0, whose files are ArrayR'):
    export_selection(root, 'some', 'tfds', tmp_path / 'out')


def test_cifar_read_from_its_archive_has_the_same_ids(cifar, tmp_path):
  root = cifar.results.workdir.root
  output = export_selection(root, 'some', 'tfds', tmp_path / 'out')
  code = (output / 'filter.py').read_text()
  assert "'cifar10'" in code and 'data_dir=None' in code
  assert (output / 'ids.txt').read_text().split() == cifar.ids
  assert cifar.ids[:2] == ['train_00001', 'train_00004']


def test_data_that_is_none_of_tfds(digits, tmp_path):
  root = digits.results.workdir.root
  with pytest.raises(DataDietError, match='not for digits'):
    export_selection(root, 'some', 'tfds', tmp_path / 'out')
