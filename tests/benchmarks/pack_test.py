"""Tests of packing a TFDS set: the same examples, in the same order."""

import numpy as np

from benchmarks import pack
from datadiet.data import load_dataset
from datadiet.data.sources.tfds import STATISTICS
from tests.data import formats

pytestmark = formats.needs_cifar10


def test_a_pack_holds_the_examples_of_the_prepared_set(tmp_path):
  formats.write_first_cifar10(tmp_path, 40, 20)
  pack.pack('cifar10', str(tmp_path), str(tmp_path / 'pack.npz'))
  packed = load_dataset(formats.settings('packed', tmp_path / 'pack.npz'))
  original = load_dataset(formats.settings('cifar10', tmp_path))
  assert packed.class_names == original.class_names
  for split in ('train', 'test'):
    one, other = getattr(packed, split), getattr(original, split)
    assert one.ids.tolist() == other.ids.tolist()
    assert one.labels.tolist() == other.labels.tolist()
    # Pillow and TensorFlow decode JPEGs a little differently.
    difference = one.images.astype(int) - other.images.astype(int)
    assert np.abs(difference).mean() < 2
  np.testing.assert_allclose(packed.mean, STATISTICS['cifar10'][0])
