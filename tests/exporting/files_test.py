"""Tests of lists of files and folders of images."""

import csv
import os

import numpy as np
import pytest
from PIL import Image

from datadiet.data import load_dataset
from datadiet.errors import DataDietError
from datadiet.exporting import export_selection
from datadiet.exporting.files import _folder_names, pil_image
from tests.data import formats


def _export(subset, name, output, **options):
  root = subset.results.workdir.root
  return export_selection(root, 'some', name, output, **options)


def _images(subset):
  return subset.dataset.train.images[subset.example_index]


def _pixels(path):
  with Image.open(path) as image:
    return np.asarray(image)


def _rows(folder):
  with (folder / 'index.csv').open() as file:
    return list(csv.DictReader(file))


def test_a_list_of_files(folder, tmp_path):
  output = _export(folder, 'lists', tmp_path / 'out')
  paths = (output / 'ids.txt').read_bytes().decode().split('\n')[:-1]
  found = [_pixels(tmp_path / 'photos' / path) for path in paths]
  np.testing.assert_array_equal(found, _images(folder))


@pytest.mark.parametrize('link', [False, True])
def test_images_in_files_are_copied_or_linked(folder, tmp_path, link):
  output = _export(folder, 'image_folder', tmp_path / 'out', link=link)
  rows = _rows(output)
  assert [row['path'] for row in rows] == folder.ids
  for row in rows:
    path = output / row['path']
    original = tmp_path / 'photos' / row['path']
    assert path.read_bytes() == original.read_bytes()
    assert path.is_symlink() == link
  # Nothing else is there.
  files = [f for _, _, names in os.walk(output) for f in names]
  assert len(files) == len(rows) + len(('index.csv', 'test_ids.txt'))


def test_a_copied_folder_is_read_again(folder, tmp_path):
  """By this project, once it has a test split."""
  output = _export(folder, 'image_folder', tmp_path / 'out', link=True)
  (output / 'test').symlink_to(tmp_path / 'photos' / 'test')
  again = load_dataset(formats.settings('image_folder', output)).train
  assert again.ids.tolist() == folder.ids
  np.testing.assert_array_equal(again.images, _images(folder))


@pytest.mark.parametrize('source', ['cifar', 'digits'])
def test_pixels_are_written_and_lose_nothing(source, request, tmp_path):
  subset = request.getfixturevalue(source)
  output = _export(subset, 'image_folder', tmp_path / 'out')
  rows = _rows(output)
  found = [_pixels(output / row['path']) for row in rows]
  expected = _images(subset)
  np.testing.assert_array_equal(np.reshape(found, expected.shape), expected)
  labels = subset.dataset.train.labels[subset.example_index]
  for row, label, name in zip(rows, labels, subset.ids, strict=True):
    assert row['id'] == name and int(row['label']) == label
    assert row['path'].split('/')[0] == subset.dataset.class_names[label]
  # In each class sorted names are in order.
  by_name = sorted(rows, key=lambda row: row['path'])
  by_class = sorted(rows, key=lambda row: row['path'].split('/')[0])
  assert by_name == by_class


def test_changed_labels_decide_the_folder(tmp_path, make_subset):
  counts = {f'{split}/{c}': 5 for split in ('train', 'test') for c in 'ab'}
  formats.write_image_folder(tmp_path / 'photos', counts)
  noisy = {'label_noise.fraction': 1.0, 'label_noise.kind': 'uniform'}
  settings = formats.settings('image_folder', tmp_path / 'photos', **noisy)
  subset = make_subset(settings)
  output = _export(subset, 'image_folder', tmp_path / 'out')
  for row in _rows(output):
    number = int(row['example_index'])
    assert row['path'] == (
      f'{"ab"[number < 5]}/{number}_{row["id"].split("/")[-1]}'
    )
    original = tmp_path / 'photos' / row['id']
    assert (output / row['path']).read_bytes() == original.read_bytes()


def test_only_files_can_be_linked(digits, tmp_path):
  with pytest.raises(DataDietError, match='digits is none: leave out --link'):
    _export(digits, 'image_folder', tmp_path / 'out', link=True)
  assert not (tmp_path / 'out').exists()


def test_class_names_that_are_no_folder_names():
  assert _folder_names(('a/b', 'c', '..')) == ['0_a_b', '1_c', '2_']
  assert _folder_names(('a/b', 'c')) == ['a_b', 'c']
  assert _folder_names(('cat', 'Cat')) == ['0_cat', '1_Cat']


def test_two_channels_are_refused():
  with pytest.raises(DataDietError, match='2 channels'):
    pil_image(np.zeros((4, 4, 2), np.uint8))
