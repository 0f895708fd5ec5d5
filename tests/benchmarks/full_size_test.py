"""Tests that the images of the benchmark at full size are a CINIC-10."""

import collections

from benchmarks import full_size
from datadiet.data import load_dataset
from tests.data import formats


def test_the_images_written_are_read_as_cinic10(tmp_path):
  full_size.write_images(tmp_path, 120)
  dataset = load_dataset(formats.settings('cinic10', tmp_path))
  assert (dataset.train.num_examples, dataset.test.num_examples) == (80, 40)
  assert dataset.train.columns['origin'].tolist().count('cifar') == 40
  counts = collections.Counter(dataset.train.labels.tolist())
  assert counts == dict.fromkeys(range(10), 8)
  assert len({image.tobytes() for image in dataset.train.images}) == 80
  before = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob('*.png'))
  full_size.write_images(tmp_path, 120)  # Found, not made again.
  after = sorted(path.stat().st_mtime_ns for path in tmp_path.rglob('*.png'))
  assert len(before) == 120 and after == before
