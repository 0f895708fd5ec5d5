"""Tests of CINIC-10 from its archive, its folders and the old arrays."""

import numpy as np
import pytest

from datadiet.data import load_dataset
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats


@pytest.fixture(scope='module')
def images():
  return formats.cinic10_images()


def _members(images, prefix=''):
  # The archive's order is not the sorted one.
  names = sorted(images, key=lambda name: hash(name) % 1009)
  return [
    (f'{prefix}README.md', b'read me'),
    *((prefix + name, formats.encode(images[name])) for name in names),
    (f'{prefix}imagenet-contributors.csv', b'a,b'),
  ]


def _write_folder(root, images):
  for name, content in _members(images):
    formats.write(root / name, content)


@pytest.mark.parametrize('kind', ['archive', 'dotted archive', 'folder'])
def test_all_layouts_give_the_same(tmp_path, images, kind):
  if kind == 'folder':
    _write_folder(tmp_path / 'CINIC-10', images)
  else:
    prefix = './' if kind == 'dotted archive' else ''
    members = _members(images, prefix)
    formats.write_tar(tmp_path / 'CINIC-10.tar.gz', members)
  dataset = load_dataset(formats.settings('cinic10', tmp_path))
  train = sorted(name for name in images if not name.startswith('test/'))
  test = sorted(name for name in images if name.startswith('test/'))
  assert dataset.train.ids.tolist() == train
  assert dataset.test.ids.tolist() == test
  assert list(dataset.class_names) == formats.CIFAR10_NAMES
  for split in (dataset.train, dataset.test):
    for image, label, name in zip(split.images, split.labels, split.ids):
      expected = np.asarray(images[name].convert('RGB'))
      np.testing.assert_array_equal(image, expected)
      assert formats.CIFAR10_NAMES[label] == name.split('/')[1]
  np.testing.assert_allclose(dataset.std[0], 0.24205776)


def test_origin_is_a_column_and_survives_the_cache(tmp_path, images):
  _write_folder(tmp_path / 'data', images)
  settings = formats.settings('cinic10', tmp_path / 'data', tmp_path / 'cache')
  for _ in range(2):
    dataset = load_dataset(settings)
    for split in (dataset.train, dataset.test):
      assert set(split.columns['origin']) == {'cifar', 'imagenet'}
      for name, origin in zip(split.ids, split.columns['origin']):
        assert (origin == 'cifar') == ('/cifar10-' in name)


def test_train_or_valid_alone(tmp_path, images):
  _write_folder(tmp_path, images)
  for chosen in (('train',), ('valid',)):
    dataset = load_dataset(
      formats.settings('cinic10', tmp_path, train_splits=chosen)
    )
    assert {name.split('/')[0] for name in dataset.train.ids} == set(chosen)
    assert dataset.test.ids[0].startswith('test/')
  settings = formats.settings(
    'cinic10', tmp_path, train_splits=('train',), test_split='valid'
  )
  assert load_dataset(settings).test.ids[0].startswith('valid/')
  for wrong in (('all',), ('train', 'train'), ('train', 'valid', 'test')):
    with pytest.raises(ConfigError, match='dataset.train_splits'):
      load_dataset(formats.settings('cinic10', tmp_path, train_splits=wrong))


@pytest.mark.parametrize('below', ['', 'cinic10'])
def test_arrays_of_the_predecessor(tmp_path, below):
  folder = tmp_path / below
  folder.mkdir(exist_ok=True)
  parts = {}
  for seed, split in enumerate(('train', 'valid', 'test')):
    images = formats.random_images(12, seed=seed)
    labels = (np.arange(12) + seed) % 10
    np.save(folder / f'X_{split}.npy', images)
    np.save(folder / f'Y_{split}.npy', labels)
    parts[split] = images, labels
  dataset = load_dataset(formats.settings('cinic10', tmp_path))
  for position in (0, 1):
    both = np.concatenate([parts['train'][position], parts['valid'][position]])
    train = (dataset.train.images, dataset.train.labels)[position]
    np.testing.assert_array_equal(train, both)
  np.testing.assert_array_equal(dataset.test.images, parts['test'][0])
  assert dataset.train.ids[[0, 12]].tolist() == ['train_00000', 'valid_00000']
  np.save(folder / 'X_valid.npy', formats.random_images(12, 16))
  message = r'X_train.npy \[12, 32, 32, 3\], X_valid.npy \[12, 16, 16, 3\]'
  with pytest.raises(DataDietError, match=message):
    load_dataset(formats.settings('cinic10', tmp_path))
  (folder / 'Y_valid.npy').unlink()
  with pytest.raises(DataDietError, match='no Y_valid.npy'):
    load_dataset(formats.settings('cinic10', tmp_path))


@pytest.mark.parametrize('share', [0.3, 0.999])
def test_archive_cut_short_is_named(tmp_path, images, share):
  path = tmp_path / 'CINIC-10.tar.gz'
  formats.write_tar(path, _members(images))
  content = path.read_bytes()
  path.write_bytes(content[: int(share * len(content))])
  with pytest.raises(DataDietError, match='CINIC-10.tar.gz is cut short'):
    load_dataset(formats.settings('cinic10', tmp_path))


def test_missing_class_and_missing_data_are_named(tmp_path, images):
  left = {k: v for k, v in images.items() if not k.startswith('valid/frog/')}
  _write_folder(tmp_path / 'data', left)
  with pytest.raises(
    DataDietError, match='valid has no images of the class frog'
  ):
    load_dataset(formats.settings('cinic10', tmp_path / 'data'))
  with pytest.raises(DataDietError, match='holds neither CINIC-10.tar.gz'):
    load_dataset(formats.settings('cinic10', tmp_path))
