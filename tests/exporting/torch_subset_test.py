"""Tests of the subsets for PyTorch, by running the code that is written."""

import dataclasses
import hashlib
import sys
import types

import numpy as np
import pytest

from datadiet.data import Split
from datadiet.exporting import export_selection
from datadiet.exporting.torch_subset import loader_indices
from tests.data import formats


@pytest.fixture
def torch():
  return pytest.importorskip('torch')


@pytest.fixture
def torchvision(torch):
  """The library; beside a PyTorch of another build it lacks operators."""
  del torch
  try:
    import torchvision
  except ImportError:
    pytest.skip('torchvision is not installed')
  except RuntimeError:
    # Its binary part was not loaded, and this module describes operators of it.
    # No data set needs one.
    name = 'torchvision._meta_registrations'
    sys.modules[name] = types.ModuleType(name)
    import torchvision
  return torchvision


def _run(code_path):
  """Runs the code and returns the subset that it makes."""
  made = {}
  exec(compile(code_path.read_text(), str(code_path), 'exec'), made)
  return made['subset']


def _expected(kept):
  train = kept.dataset.train
  return train.images[kept.example_index], train.labels[kept.example_index]


def test_cifar_in_torchvision(cifar, tmp_path, torchvision, monkeypatch):
  # The library knows the official files by their checksums.
  cifar10 = torchvision.datasets.CIFAR10
  meta = tmp_path / 'data' / 'cifar-10-batches-py' / 'batches.meta'
  checksum = hashlib.md5(meta.read_bytes()).hexdigest()
  monkeypatch.setattr(cifar10, 'meta', {**cifar10.meta, 'md5': checksum})
  monkeypatch.setattr(cifar10, '_check_integrity', lambda self: True)
  output = export_selection(
    cifar.results.workdir.root, 'some', 'torch', tmp_path / 'out'
  )
  monkeypatch.chdir(tmp_path)  # Where data/ is.
  subset = _run(output / 'subset.py')
  images, labels = _expected(cifar)
  assert len(subset) == len(images) > 3
  for (image, label), pixels, expected in zip(
    subset, images, labels, strict=True
  ):
    np.testing.assert_array_equal(np.asarray(image), pixels)
    assert label == expected


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


def test_an_image_folder_in_torchvision(folder, tmp_path, torchvision):
  root = folder.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  subset = _run(output / 'subset.py')
  images, labels = _expected(folder)
  found = [np.asarray(image) for image, _ in subset]
  np.testing.assert_array_equal(found, images)
  # Both number classes by their sorted names.
  assert [label for _, label in subset] == labels.tolist()
  # By number, the examples would be others: the orders differ.
  paths = [path for path, _ in subset.dataset.samples]
  assert [path.split('/photos/')[1] for path in paths] != (
    folder.dataset.train.ids.tolist()
  )


def test_digits(digits, tmp_path, torch):
  root = digits.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  subset = _run(output / 'subset.py')
  images, labels = _expected(digits)
  found = torch.stack([image for image, _ in subset]).numpy()
  np.testing.assert_array_equal(np.round(found * 255 / 16), images[..., 0])
  assert [int(label) for _, label in subset] == labels.tolist()


def test_other_data_takes_the_canonical_order(make_kept, tmp_path, torch):
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
  code = (output / 'subset.py').read_text()
  data = torch.utils.data.TensorDataset(torch.from_numpy(images))
  made = {'dataset': data}
  exec(code, made)
  found = [image.numpy() for (image,) in made['subset']]
  np.testing.assert_array_equal(found, images[kept.example_index])


def test_changed_labels_are_said(make_kept, tmp_path):
  settings = formats.settings('digits', '')
  settings.label_noise.fraction = 0.2
  kept = make_kept(settings, every=40)
  root = kept.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  assert 'labels are those of the source' in (output / 'subset.py').read_text()
