"""Folders given as --workdir that are somebody's data, or hold it."""

import dataclasses
import json

import pytest

from configs import cnn_digits
from datadiet.config import resolve
from datadiet.data import load_dataset
from datadiet.errors import ConfigError
from datadiet.stages.opening import open_config, open_dataset
from datadiet.workdir import claim
from datadiet.workdir.artifacts import Workdir
from tests.data import formats


def _check(workdir, **dataset):
  config = cnn_digits.get_config()
  config.dataset.update(dataset)
  open_config(resolve(config), Workdir.at(workdir))


@pytest.mark.parametrize(
  'names',
  [
    ('cat/000.png', 'dog/000.png'),
    ('train/cat/000.png',),
    ('thesis.tex',),
    ('dataset.json', 'notes.txt'),
    ('sweep/0/config.json',),
  ],
)
def test_a_folder_with_other_things_is_refused(tmp_path, names):
  for name in names:
    formats.write(tmp_path / name, b'x')
  with pytest.raises(ConfigError, match=f'--workdir: {tmp_path} holds other'):
    _check(tmp_path)
  assert len(list(tmp_path.rglob('*.*'))) == len(names)


@pytest.mark.parametrize('content', [{}, [], {'config': {}}, {'config': 3}])
def test_another_program_s_config_is_no_workdir(tmp_path, content):
  content = json.dumps({'model_type': 'vit', **content} if content else content)
  (tmp_path / 'config.json').write_text(content)
  with pytest.raises(ConfigError, match='not written by this program'):
    _check(tmp_path)


@pytest.mark.parametrize(
  'names',
  [
    (),
    ('.lock', 'dataset.json', 'original_labels.npy', 'test_ids.txt'),
    ('slurm-17.out', 'program.log', '.config.json.1234.tmp'),
    ('lost+found/x',),
  ],
)
def test_what_a_start_left_that_was_cut_off_is_taken(tmp_path, names):
  for name in names:
    formats.write(tmp_path / name, b'x')
  _check(tmp_path)
  _check(tmp_path / 'new/folder')


def test_a_file_is_refused(tmp_path):
  formats.write(tmp_path / 'photo.png', b'x')
  with pytest.raises(ConfigError, match='photo.png is not a folder'):
    _check(tmp_path / 'photo.png')


@pytest.mark.parametrize('name', ['image_folder', 'arrays', 'hugging_face'])
@pytest.mark.parametrize(
  'workdir, message',
  [
    ('photos', 'is the folder of the data'),
    ('photos/out', 'lies in the folder of the data'),
    ('photos/../photos/./a/b', 'lies in the folder of the data'),
    ('link/out', 'lies in the folder of the data'),
    ('', 'holds the data'),
  ],
)
def test_data_and_workdir_must_be_apart(tmp_path, name, workdir, message):
  (tmp_path / 'photos').mkdir()
  (tmp_path / 'link').symlink_to(tmp_path / 'photos')
  with pytest.raises(ConfigError, match=f'{message}.*allowed: a folder beside'):
    _check(tmp_path / workdir, name=name, data_dir=str(tmp_path / 'photos'))
  _check(tmp_path / 'photos2', name=name, data_dir=str(tmp_path / 'photos'))


def test_remote_folders_are_compared_by_name():
  for workdir, message in (
    ('gs://bucket/photos/', 'is the folder'),
    ('gs://bucket/photos/out', 'lies in'),
    ('gs://bucket', 'holds the data'),
  ):
    with pytest.raises(ConfigError, match=message):
      claim.check_is_apart(Workdir.at(workdir), 'gs://bucket/photos', True)
  claim.check_is_apart(Workdir.at('gs://bucket/x'), 'gs://bucket/photos', True)
  claim.check_is_apart(Workdir.at('/photos/x'), 'gs://photos', True)


def test_a_sweep_among_photos_is_refused(tmp_path):
  formats.write(tmp_path / 'cat/000.png', b'x')
  with pytest.raises(ConfigError, match='holds other things .cat'):
    claim.check_is_free(Workdir.at(tmp_path), beside=('sweep', 'sweep.csv'))


def test_a_workdir_beside_data_of_tensorflow_is_taken(tmp_path):
  """Of which only the set's own folder is read."""
  _check(tmp_path / 'runs', name='cifar10', data_dir=str(tmp_path))


def test_the_test_split_is_listed_in_the_workdir(tmp_path):
  """Where 20 % of each class were split off nobody else knows which."""
  counts = {'ä cat': 10, 'dog': 5}
  formats.write_image_folder(tmp_path / 'data', counts, size=8)
  dataset = load_dataset(formats.settings('image_folder', tmp_path / 'data'))
  workdir = Workdir.at(tmp_path / 'work')
  open_dataset(dataset, workdir)
  listed = workdir.test_ids.read_text().splitlines()
  assert listed == dataset.test.ids.tolist()
  assert len(listed) == 3
  claim.check_is_free(workdir)
  # A name that would be two lines is not listed wrongly.
  ids = dataset.test.ids.copy()
  ids[0] = 'a\nb'
  odd = dataclasses.replace(dataset.test, ids=ids)
  other = Workdir.at(tmp_path / 'other')
  open_dataset(dataclasses.replace(dataset, test=odd), other)
  assert not other.test_ids.exists()
