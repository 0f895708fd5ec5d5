"""Tests of the subsets for PyTorch, by running the code that is written."""

import dataclasses
import hashlib

import numpy as np
import pytest

from datadiet.data import Split
from datadiet.exporting import export_selection
from datadiet.exporting.torch_subset import loader_indices
from tests.data import formats
from tests.exporting import in_torch


def _expected(kept):
  train = kept.dataset.train
  return train.images[kept.example_index], train.labels[kept.example_index]


@in_torch.needs_torchvision
def test_cifar_in_torchvision(cifar, tmp_path):
  # The library knows the official files by their checksums.
  meta = tmp_path / 'data' / 'cifar-10-batches-py' / 'batches.meta'
  checksum = hashlib.md5(meta.read_bytes()).hexdigest()
  before = f"""
cifar10 = torchvision.datasets.CIFAR10
cifar10.meta = {{**cifar10.meta, 'md5': {checksum!r}}}
cifar10._check_integrity = lambda self: True
"""
  output = export_selection(
    cifar.results.workdir.root, 'some', 'torch', tmp_path / 'out'
  )
  # Run where data/ is.
  given = in_torch.run((output / 'subset.py').read_text(), tmp_path, before)
  images, labels = _expected(cifar)
  assert len(images) > 3
  np.testing.assert_array_equal(given['images'], images)
  np.testing.assert_array_equal(given['labels'], labels)


@pytest.fixture
def shuffled(cifar):
  """`cifar` as TFDS has it: in another order, with ids as in the archive."""
  archive = cifar.dataset
  order = np.random.default_rng(0).permutation(archive.train.num_examples)
  train = archive.train
  split = Split(train.images[order], train.labels[order], train.ids[order])
  changed = dataclasses.replace(archive, train=split)
  cifar.__dict__['dataset'] = changed
  return cifar, archive


def test_indices_follow_the_ids_and_not_the_records(shuffled):
  kept, archive = shuffled
  indices = loader_indices(kept)
  assert indices.dtype == np.int64
  assert not np.array_equal(indices, kept.example_index)
  expected = kept.dataset.train.images[kept.example_index]
  np.testing.assert_array_equal(archive.train.images[indices], expected)


def test_indices_in_a_file(cifar, tmp_path):
  output = export_selection(
    cifar.results.workdir.root, 'some', 'indices', tmp_path / 'i.npy'
  )
  np.testing.assert_array_equal(np.load(output), loader_indices(cifar))


@in_torch.needs_torchvision
def test_an_image_folder_in_torchvision(folder, tmp_path):
  root = folder.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  given = in_torch.run((output / 'subset.py').read_text(), tmp_path)
  images, labels = _expected(folder)
  np.testing.assert_array_equal(given['images'], images)
  # Both number classes by their sorted names.
  np.testing.assert_array_equal(given['labels'], labels)
  # By number, the examples would be others: the orders differ.
  assert [path.split('/photos/')[1] for path in given['paths']] != (
    folder.dataset.train.ids.tolist()
  )


@in_torch.needs_torch
def test_digits(digits, tmp_path):
  root = digits.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  given = in_torch.run((output / 'subset.py').read_text(), tmp_path)
  images, labels = _expected(digits)
  found = np.round(given['images'] * 255 / 16)
  np.testing.assert_array_equal(found, images[..., 0])
  np.testing.assert_array_equal(given['labels'], labels)


@in_torch.needs_torch
def test_other_data_takes_the_canonical_order(make_kept, tmp_path):
  images, labels = formats.random_images(12), np.arange(12) % 2
  path = tmp_path / 'mine.npz'
  np.savez(
    path,
    train_images=images,
    train_labels=labels,
    test_images=images[:2],
    test_labels=labels[:2],
  )
  kept = make_kept(formats.settings('arrays', path))
  root = kept.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  before = """
import torch
mine = np.load('mine.npz')
dataset = torch.utils.data.TensorDataset(
  *(torch.from_numpy(mine[f'train_{name}']) for name in ('images', 'labels'))
)
"""
  given = in_torch.run((output / 'subset.py').read_text(), tmp_path, before)
  np.testing.assert_array_equal(given['images'], images[kept.example_index])
  np.testing.assert_array_equal(given['labels'], labels[kept.example_index])


def test_changed_labels_are_said(make_kept, tmp_path):
  settings = formats.settings('digits', '')
  settings.label_noise.fraction = 0.2
  kept = make_kept(settings, every=40)
  root = kept.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  assert 'labels are those of the source' in (output / 'subset.py').read_text()
