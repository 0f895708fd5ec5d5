"""Files of another kind where arrays are expected: one sentence each."""

import pickle
import zipfile

import numpy as np
import pytest

from datadiet.data import load_dataset
from datadiet.errors import ConfigError, DataDietError
from datadiet.workdir import artifacts
from tests.data import formats


def _torch(path):
  """What torch.save writes, but for what is in it."""
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('archive/data.pkl', pickle.dumps([1, 2]))
    archive.writestr('archive/version', '3\n')


def _npz(path):
  with path.open('wb') as file:
    np.savez(file, images=np.zeros((4, 8, 8, 3), np.uint8))


def _objects(path):
  with path.open('wb') as file:
    np.save(file, np.array([{'a': 1}]), allow_pickle=True)


def _cut(path):
  with path.open('wb') as file:
    np.save(file, np.arange(100))
  path.write_bytes(path.read_bytes()[:200])


# What is there -> how it is called.
KINDS = {
  'npz': (_npz, 'an archive, such as a .npz'),
  'torch': (_torch, 'an archive, such as a .npz file or one of torch.save'),
  'pickle': (lambda path: path.write_bytes(pickle.dumps([1])), 'a pickle'),
  'text': (lambda path: path.write_text('1\n2\n'), 'text or something else'),
  'empty': (lambda path: path.write_bytes(b''), 'empty'),
  'objects': (_objects, 'cut short or holds Python objects'),
  'cut': (_cut, 'cut short or holds Python objects'),
  'folder': (lambda path: path.mkdir(), 'Is a directory'),
}


@pytest.mark.parametrize('kind', list(KINDS))
def test_what_is_no_array_of_scores_or_indices_is_named(tmp_path, kind):
  write, message = KINDS[kind]
  write(tmp_path / 'mine.npy')
  with pytest.raises(DataDietError, match=message) as error:
    artifacts.read_npy(tmp_path / 'mine.npy', from_user=True)
  assert '\n' not in str(error.value) and 'mine.npy' in str(error.value)


@pytest.mark.parametrize('kind', [kind for kind in KINDS if kind != 'folder'])
@pytest.mark.parametrize('name', ['mine.npz', 'folder/images.npy'])
def test_what_is_no_array_of_images_is_named(tmp_path, kind, name):
  path = tmp_path / name
  path.parent.mkdir(exist_ok=True)
  np.save(tmp_path / 'labels.npy', np.arange(4) % 2)
  KINDS[kind][0](path)
  data_dir = path if path.suffix == '.npz' else path.parent
  with pytest.raises(DataDietError) as error:
    load_dataset(formats.settings('arrays', data_dir))
  assert '\n' not in str(error.value) and path.name in str(error.value)


@pytest.mark.parametrize('name', ['m.pt', 'm.csv', 'm.npy', 'm.zip'])
def test_a_file_of_another_kind_for_data_dir_is_refused(tmp_path, name):
  _torch(tmp_path / name)
  with pytest.raises(ConfigError, match='is no .npz file; allowed: a folder'):
    load_dataset(formats.settings('arrays', tmp_path / name))


def test_a_single_class_is_refused(tmp_path):
  images = formats.random_images(6, 8)
  np.savez(tmp_path / 'a.npz', images=images, labels=np.zeros(6, int))
  with pytest.raises(DataDietError, match='two or more'):
    load_dataset(formats.settings('arrays', tmp_path))


@pytest.mark.parametrize(
  'shape', [(6, 13, 24, 24), (6, 2, 24, 20), (6, 3, 24, 20), (6, 28, 28, 28)]
)
def test_channels_first_are_refused_however_many(tmp_path, shape):
  images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  np.savez(tmp_path / 'a.npz', images=images, labels=np.arange(6) % 2)
  with pytest.raises(DataDietError, match='channels first.*np.moveaxis'):
    load_dataset(formats.settings('arrays', tmp_path))


@pytest.mark.parametrize('shape', [(6, 24, 24, 13), (6, 9, 9, 200), (6, 8, 8)])
def test_channels_last_are_read_however_many(tmp_path, shape):
  images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
  np.savez(tmp_path / 'a.npz', images=images, labels=np.arange(6) % 2)
  dataset = load_dataset(formats.settings('arrays', tmp_path))
  assert dataset.image_shape == (*shape[1:], 1)[:3]


def test_integer_ids_are_texts(tmp_path):
  images = formats.random_images(6, 8)
  np.savez(
    tmp_path / 'a.npz',
    images=images,
    labels=np.arange(6) % 2,
    ids=np.arange(10, 16),
  )
  dataset = load_dataset(formats.settings('arrays', tmp_path))
  ids = {*dataset.train.ids.tolist(), *dataset.test.ids.tolist()}
  assert ids == {'10', '11', '12', '13', '14', '15'}


@pytest.mark.parametrize(
  ('names', 'unused'),
  [
    (('images', 'labels', 'test_images', 'test_labels'), 'test_images, test_l'),
    (
      ('train_images', 'train_labels', 'test_images', 'test_labels', 'images'),
      'images beside train_images',
    ),
    (('images', 'labels', 'train_ids'), 'train_ids beside images'),
  ],
)
def test_arrays_that_would_be_passed_over_are_refused(names, unused, tmp_path):
  for name in names:
    what = name.rpartition('_')[2]
    values = {
      'images': formats.random_images(12, 8),
      'labels': np.arange(12) % 2,
      'ids': np.arange(12).astype(str),
    }[what]
    np.save(tmp_path / f'{name}.npy', values)
  with pytest.raises(DataDietError, match=unused):
    load_dataset(formats.settings('arrays', tmp_path))
