"""Tests of the subsets for PyTorch, by running the code that is written."""

import dataclasses
import hashlib
import shutil

import numpy as np
import pytest
from PIL import Image

from datadiet.data import Split
from datadiet.exporting import export_selection
from datadiet.exporting.lists import loader_indices
from tests.data import formats
from tests.exporting import in_torch


def _expected(subset):
  train = subset.dataset.train
  return train.images[subset.example_index], train.labels[subset.example_index]


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
  subset, archive = shuffled
  indices = loader_indices(subset)
  assert indices.dtype == np.int64
  assert not np.array_equal(indices, subset.example_index)
  expected = subset.dataset.train.images[subset.example_index]
  np.testing.assert_array_equal(archive.train.images[indices], expected)


@in_torch.needs_torchvision
def test_an_image_folder_in_torchvision(folder, tmp_path):
  root = folder.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  given = in_torch.run((output / 'subset.py').read_text(), tmp_path)
  images, labels = _expected(folder)
  np.testing.assert_array_equal(given['images'], images)
  np.testing.assert_array_equal(given['labels'], labels)
  assert [path.split('/photos/')[1] for path in given['paths']] == folder.ids


@in_torch.needs_torchvision
@pytest.mark.parametrize(
  'dropping', ['.ipynb_checkpoints', '__MACOSX', 'aaa', 'zzz']
)
def test_folders_that_are_no_classes_change_no_label(
  folder, tmp_path, dropping
):
  root = folder.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  images, labels = _expected(folder)
  # Left there after the export; torchvision would number it as a class.
  other = tmp_path / 'photos' / 'train' / dropping
  shutil.copytree(tmp_path / 'photos' / 'train' / 'dog', other)
  given = in_torch.run((output / 'subset.py').read_text(), tmp_path)
  np.testing.assert_array_equal(given['labels'], labels)
  np.testing.assert_array_equal(given['images'], images)


@in_torch.needs_torchvision
@pytest.mark.parametrize(
  'name', ['a\rb', 'a\x85b', 'a\u2028b', 'a\x0bb', '猫 "q"', "it's\\n"]
)
def test_names_with_odd_characters_survive(tmp_path, make_subset, name):
  counts = {f'{split}/{c}': 5 for split in ('train', 'test') for c in 'xy'}
  photos = tmp_path / 'photos'
  formats.write_image_folder(photos, counts)
  first = sorted((photos / 'train' / 'x').iterdir())[1]
  first.rename(first.with_name(f'{name}.png'))
  (photos / 'train' / 'y').rename(photos / 'train' / f'y{name}')
  (photos / 'test' / 'y').rename(photos / 'test' / f'y{name}')
  subset = make_subset(formats.settings('image_folder', photos), every=1)
  root = subset.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  content = (output / 'ids.txt').read_bytes().decode()
  assert content.split('\n')[:-1] == subset.ids
  assert any(name in path for path in subset.ids)
  given = in_torch.run((output / 'subset.py').read_bytes().decode(), tmp_path)
  images, labels = _expected(subset)
  np.testing.assert_array_equal(given['images'], images)
  np.testing.assert_array_equal(given['labels'], labels)


@in_torch.needs_torchvision
@pytest.mark.parametrize(
  'maximum, background', [(200, 'white'), (4000, '#204060'), (65_000, 'black')]
)
def test_odd_pictures_are_what_was_trained_on(
  tmp_path, make_subset, maximum, background
):
  """ImageFolder shows hidden colours, lying pictures and cut off depths."""
  rgba = formats.random_images(1, 8, channels=4)[0]
  rgba[:4, :, 3] = 0
  grey, small = Image.fromarray(rgba[..., 0]), Image.fromarray(rgba[..., :3])
  exif = Image.Exif()
  exif[0x0112] = 6
  deep = np.linspace(0, maximum, 64).astype(np.uint16).reshape(8, 8)
  pictures = {
    'rgba.png': formats.encode(rgba),
    'la.png': formats.encode(Image.merge('LA', (grey, grey))),
    'key.gif': formats.encode(small.quantize(4), 'GIF', transparency=2),
    'lies.png': formats.encode(small, exif=exif),
    'bad exif.jpg': formats.encode(small, 'JPEG', exif=b'Exif\0\0MM\0*\0'),
    'deep.png': formats.encode(Image.fromarray(deep)),
    'grey.png': formats.encode(grey),
  }
  for split in ('train', 'test'):
    for folder in ('x', 'y'):
      for name, content in pictures.items():
        formats.write(tmp_path / 'photos' / split / folder / name, content)
  settings = formats.settings(
    'image_folder', tmp_path / 'photos', background=background
  )
  subset = make_subset(settings, every=1)
  root = subset.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  given = in_torch.run((output / 'subset.py').read_text(), tmp_path)
  np.testing.assert_array_equal(given['images'], _expected(subset)[0])


@in_torch.needs_torchvision
def test_labels_changed_on_purpose_are_those_of_a_folders_subset(
  tmp_path, make_subset
):
  counts = {f'{split}/{c}': 9 for split in ('train', 'test') for c in 'ab'}
  formats.write_image_folder(tmp_path / 'photos', counts)
  noisy = {'label_noise.fraction': 0.5, 'label_noise.kind': 'uniform'}
  settings = formats.settings('image_folder', tmp_path / 'photos', **noisy)
  subset = make_subset(settings, every=1)
  root = subset.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  code = (output / 'subset.py').read_text()
  given = in_torch.run(code, tmp_path)
  np.testing.assert_array_equal(given['labels'], _expected(subset)[1])
  assert 'labels are those of the source' not in code


@in_torch.needs_torch
def test_digits(digits, tmp_path):
  root = digits.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  given = in_torch.run((output / 'subset.py').read_text(), tmp_path)
  images, labels = _expected(digits)
  found = np.round(given['images'] * 255 / 16)
  np.testing.assert_array_equal(found, images[..., 0])
  np.testing.assert_array_equal(given['labels'], labels)


def _arrays(folder, form, divided):
  """Arrays of 24 images with ids that say nothing of their rows."""
  images, labels = formats.random_images(24), np.arange(24) % 2
  ids = np.array([f'x{7 * i % 24}' for i in range(24)])
  arrays = {'images': images, 'labels': labels, 'ids': ids}
  if not divided:
    arrays = {f'train_{name}': array for name, array in arrays.items()}
    arrays |= {'test_images': images[:4] // 2, 'test_labels': labels[:4]}
  folder.mkdir()
  if form == 'npz':
    np.savez(folder / 'mine.npz', **arrays)
    return folder / 'mine.npz', images
  for name, array in arrays.items():
    np.save(folder / f'{name}.npy', array)
  return folder, images


@pytest.mark.parametrize('divided', [False, True])
@pytest.mark.parametrize('form', ['npz', 'npy'])
def test_indices_are_rows_of_the_arrays(make_subset, tmp_path, form, divided):
  """Also where some became the test split, whatever the ids are."""
  path, images = _arrays(tmp_path / 'mine', form, divided)
  subset = make_subset(formats.settings('arrays', path))
  indices, expected = loader_indices(subset), _expected(subset)[0]
  assert np.array_equal(indices, subset.example_index) != divided
  np.testing.assert_array_equal(images[indices], expected)


@in_torch.needs_torch
@pytest.mark.parametrize('divided', [False, True])
@pytest.mark.parametrize('form', ['npz', 'npy'])
def test_arrays(make_subset, tmp_path, form, divided):
  path, _ = _arrays(tmp_path / 'mine', form, divided)
  noise = {'label_noise.fraction': 0.5, 'label_noise.kind': 'uniform'}
  subset = make_subset(formats.settings('arrays', path, **noise))
  root = subset.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  code = (output / 'subset.py').read_text()
  given, (images, labels) = in_torch.run(code, tmp_path), _expected(subset)
  np.testing.assert_array_equal(given['images'], images)
  np.testing.assert_array_equal(given['labels'], labels)
  assert 'labels are those of the source' not in code


def _hugging_face(folder, form):
  """Two shards, whose classes are numbered in another order each."""
  datasets = pytest.importorskip('datasets')
  images = formats.random_images(24, 8, channels=4)
  images[:, :3, :, 3] = 0
  deep = Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 60)
  for number, names in enumerate((['cat', 'dog'], ['dog', 'cat'])):
    rows = range(12 * number, 12 * number + 12)
    columns = {
      'photo': [deep, *(Image.fromarray(images[i]) for i in rows)],
      'label': [names.index(('cat', 'dog')[i % 2]) for i in (0, *rows)],
    }
    features = datasets.Features(
      photo=datasets.Image(), label=datasets.ClassLabel(names=names)
    )
    part = datasets.Dataset.from_dict(columns, features)
    if form == 'parquet':
      folder.mkdir(exist_ok=True)
      part.to_parquet(str(folder / f'train-0000{number}-of-00002.parquet'))
    else:
      datasets.DatasetDict(train=part).save_to_disk(str(folder))
  return folder


@pytest.mark.parametrize('form', ['parquet', 'save_to_disk'])
def test_rows_of_hugging_face_sets(make_subset, tmp_path, form):
  """Transparent and deep pictures, of which a part became the test split."""
  path = _hugging_face(tmp_path / 'mine', form)
  settings = formats.settings('hugging_face', path, background='#204060')
  subset = make_subset(settings, every=2)
  root = subset.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  code = (output / 'subset.py').read_text()
  given, (images, labels) = in_torch.run(code, tmp_path), _expected(subset)
  assert not np.array_equal(loader_indices(subset), subset.example_index)
  np.testing.assert_array_equal(given['images'], images)
  np.testing.assert_array_equal(given['labels'], labels)


@in_torch.needs_torch
def test_other_data_takes_the_canonical_order(make_subset, tmp_path):
  for name, image in formats.cinic10_images().items():
    formats.write(tmp_path / 'cinic' / name, formats.encode(image))
  subset = make_subset(formats.settings('cinic10', tmp_path / 'cinic'))
  train = subset.dataset.train
  images, labels = train.images, train.labels
  root = subset.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  np.savez(tmp_path / 'mine.npz', images=images, labels=labels)
  before = """
import torch
mine = np.load('mine.npz')
dataset = torch.utils.data.TensorDataset(
  *(torch.from_numpy(mine[name]) for name in ('images', 'labels'))
)
"""
  given = in_torch.run((output / 'subset.py').read_text(), tmp_path, before)
  np.testing.assert_array_equal(given['images'], images[subset.example_index])
  np.testing.assert_array_equal(given['labels'], labels[subset.example_index])


def test_changed_labels_are_said(make_subset, tmp_path):
  settings = formats.settings('digits', '', **{'label_noise.fraction': 0.2})
  subset = make_subset(settings, every=40)
  root = subset.results.workdir.root
  output = export_selection(root, 'some', 'torch', tmp_path / 'out')
  assert 'labels are those of the source' in (output / 'subset.py').read_text()
