"""Tests of the subsets for PyTorch, by running the code that is written."""

import dataclasses
import hashlib
import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest

from datadiet.data import Split
from datadiet.exporting import export_selection
from datadiet.exporting.torch_subset import loader_indices
from tests import running
from tests.data import formats

# Looked for and not imported: PyTorch after TensorFlow in one process crashes.
needs_torch = pytest.mark.skipif(
  importlib.util.find_spec('torch') is None, reason='needs torch'
)
needs_torchvision = pytest.mark.skipif(
  importlib.util.find_spec('torchvision') is None, reason='needs torchvision'
)
_BEFORE = """
import sys, types
import numpy as np
try:
  import torchvision
except ImportError:
  pass
except RuntimeError:
  # Beside a PyTorch of another build its binary part is not loaded, of which
  # this module describes operators. No data set needs one.
  name = 'torchvision._meta_registrations'
  sys.modules[name] = types.ModuleType(name)
  import torchvision
"""
_AFTER = """
images, labels = zip(*[subset[i] for i in range(len(subset))])
samples = getattr(subset.dataset, 'samples', [])
np.savez(
  sys.argv[1],
  images=np.stack([np.asarray(image) for image in images]),
  labels=np.array([int(label) for label in labels]),
  paths=np.array([path for path, _ in samples]),
)
"""


def _run(code_path, folder, before=''):
  """Runs the code in a process of its own, and returns what it gives.

  Args:
    code_path: the code to run, which defines `subset`.
    folder: where it runs.
    before: code to run first.
  """
  code = '\n'.join((_BEFORE, before, code_path.read_text(), _AFTER))
  path = folder / 'given.npz'
  subprocess.run(
    [sys.executable, '-c', code, str(path)],
    cwd=folder,
    env={**os.environ, 'PYTHONPATH': str(running.REPOSITORY)},
    check=True,
  )
  return np.load(path)


def _expected(kept):
  train = kept.dataset.train
  return train.images[kept.example_index], train.labels[kept.example_index]


@needs_torchvision
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
  given = _run(output / 'subset.py', tmp_path, before)
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


@needs_torchvision
def test_an_image_folder_in_torchvision(folder, tmp_path):
  root = folder.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  given = _run(output / 'subset.py', tmp_path)
  images, labels = _expected(folder)
  np.testing.assert_array_equal(given['images'], images)
  # Both number classes by their sorted names.
  np.testing.assert_array_equal(given['labels'], labels)
  # By number, the examples would be others: the orders differ.
  assert [path.split('/photos/')[1] for path in given['paths']] != (
    folder.dataset.train.ids.tolist()
  )


@needs_torch
def test_digits(digits, tmp_path):
  root = digits.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  given = _run(output / 'subset.py', tmp_path)
  images, labels = _expected(digits)
  found = np.round(given['images'] * 255 / 16)
  np.testing.assert_array_equal(found, images[..., 0])
  np.testing.assert_array_equal(given['labels'], labels)


@needs_torch
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
  given = _run(output / 'subset.py', tmp_path, before)
  np.testing.assert_array_equal(given['images'], images[kept.example_index])
  np.testing.assert_array_equal(given['labels'], labels[kept.example_index])


def test_changed_labels_are_said(make_kept, tmp_path):
  settings = formats.settings('digits', '')
  settings.label_noise.fraction = 0.2
  kept = make_kept(settings, every=40)
  root = kept.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  assert 'labels are those of the source' in (output / 'subset.py').read_text()
