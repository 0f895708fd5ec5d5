"""Tests that the images of the benchmark at full size are as said."""

import collections

from benchmarks import full_size
from datadiet.data import load_dataset
from tests.data import formats


def _times(folder, pattern):
  return {path: path.stat().st_mtime_ns for path in folder.rglob(pattern)}


def test_the_images_written_are_read_as_cinic10(tmp_path):
  data = tmp_path / 'CINIC-10'
  layout = full_size.LAYOUTS['cinic10']
  total = full_size.write_images(data, layout, 4 / 9_000)
  dataset = load_dataset(formats.settings('cinic10', data))
  assert (dataset.train.num_examples, dataset.test.num_examples) == (80, 40)
  assert dataset.train.columns['origin'].tolist().count('cifar') == 40
  counts = collections.Counter(dataset.train.labels.tolist())
  assert counts == dict.fromkeys(range(10), 8)
  assert len({image.tobytes() for image in dataset.train.images}) == 80
  before = _times(data, '*.png')
  # Found, not made again.
  assert full_size.write_images(data, layout, 4 / 9_000) == total == 120
  assert len(before) == 120 and _times(data, '*.png') == before


def test_the_images_written_are_read_as_imagenet(tmp_path):
  data = tmp_path / 'imagenet'
  total = full_size.write_images(data, full_size.LAYOUTS['imagenet'], 2 / 1_281)
  dataset = load_dataset(formats.settings('imagenet', data, image_size=32))
  assert total == 3_000
  assert (dataset.train.num_examples, dataset.num_classes) == (2_000, 1_000)
  assert dataset.test.labels.tolist() == list(range(1_000))
