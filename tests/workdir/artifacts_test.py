"""Tests datadiet.workdir.artifacts: where things lie, atomic writes, damage."""

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.workdir import artifacts
from datadiet.workdir.artifacts import Workdir


def test_the_layout_is_the_designs():
  workdir = Workdir.at('/w')
  found = {
    str(path.relative_to('/w'))
    for path in (
      workdir.config,
      workdir.dataset,
      workdir.report,
      workdir.run('train', 3),
      workdir.run('retrain/el2n_step_5_keep_max_20', 12),
      workdir.scores(3, 7800),
      workdir.scores(None, 7800),
      workdir.scores_csv(7800),
      workdir.scores_csv(),
      workdir.selection('el2n_step_5_keep_max_20'),
      workdir.selection('random_20', 4),
    )
  }
  assert found == {
    'config.json',
    'dataset.json',
    'report',
    'train/run_03',
    'retrain/el2n_step_5_keep_max_20/run_12',
    'scores/run_03/step_7800',
    'scores/mean/step_7800',
    'scores/scores_step_7800.csv',
    'scores/scores.csv',
    'selections/el2n_step_5_keep_max_20',
    'selections/random_20/run_04',
  }


def test_a_workdir_may_be_below_home_or_remote(monkeypatch, tmp_path):
  monkeypatch.setenv('HOME', str(tmp_path))
  assert str(Workdir.at('~/w').config) == f'{tmp_path}/w/config.json'
  assert not (tmp_path / 'w').exists()
  remote = Workdir.at('gs://bucket/w').run('train', 0)
  assert str(remote) == 'gs://bucket/w/train/run_00'


def test_arrays_and_tables_come_back(tmp_path):
  array = np.arange(6, dtype=np.float32).reshape(2, 3)
  artifacts.write_npy(tmp_path / 'a.npy', array)
  for found in (
    np.load(tmp_path / 'a.npy'),
    artifacts.read_npy(tmp_path / 'a.npy'),
    artifacts.read_npy(tmp_path / 'a.npy', num_examples=2),
  ):
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, array)
  artifacts.write_npz(tmp_path / 'a.npz', {'x': array, 'y.z': array[0]})
  found = artifacts.read_npz(tmp_path / 'a.npz')
  assert set(found) == {'x', 'y.z'}
  np.testing.assert_array_equal(found['y.z'], array[0])
  artifacts.write_csv(tmp_path / 'a.csv', ('id', 'v'), [('a,b', 1), ('c', '')])
  assert (tmp_path / 'a.csv').read_bytes() == b'id,v\n"a,b",1\nc,\n'


def test_json_refuses_what_no_other_reader_takes(tmp_path):
  artifacts.write_json(tmp_path / 'a.json', {'b': [1, None], 'a': 0.5})
  assert artifacts.read_json(tmp_path / 'a.json') == {'a': 0.5, 'b': [1, None]}
  with pytest.raises(ValueError):
    artifacts.write_json(tmp_path / 'a.json', float('nan'))
  assert artifacts.read_json(tmp_path / 'a.json') == {'a': 0.5, 'b': [1, None]}


@pytest.mark.parametrize(
  'name, read',
  [
    ('a.npy', artifacts.read_npy),
    ('a.npz', artifacts.read_npz),
    ('a.json', artifacts.read_json),
  ],
)
@pytest.mark.parametrize('content', ['empty', 'cut', 'text', 'binary'])
def test_a_damaged_file_is_named(tmp_path, name, read, content):
  path = tmp_path / name
  artifacts.write_npy(tmp_path / 'a.npy', np.arange(1000))
  artifacts.write_npz(tmp_path / 'a.npz', {'x': np.arange(1000)})
  artifacts.write_json(tmp_path / 'a.json', list(range(1000)))
  read(path)
  whole = path.read_bytes()
  damaged = {
    'empty': b'',
    'cut': whole[: len(whole) // 2],
    'text': b'not what it should be',
    'binary': bytes(range(256)),
  }
  path.write_bytes(damaged[content])
  with pytest.raises(DataDietError) as error:
    read(path)
  message = str(error.value)
  assert message.startswith(f'{path} is damaged') and 'delete it' in message
  assert '\n' not in message


def test_a_flipped_byte_in_an_archive_is_noticed(tmp_path):
  path = tmp_path / 'a.npz'
  artifacts.write_npz(path, {'x': np.arange(1000)})
  content = bytearray(path.read_bytes())
  content[len(content) // 2] ^= 1
  path.write_bytes(content)
  with pytest.raises(DataDietError, match='is damaged'):
    artifacts.read_npz(path)


@pytest.mark.parametrize('read', [artifacts.read_npy, artifacts.read_npz])
def test_a_missing_file_is_named(tmp_path, read):
  with pytest.raises(DataDietError, match='nothing.np does not exist'):
    read(tmp_path / 'nothing.np')


def test_pickled_objects_are_never_loaded(tmp_path):
  np.save(tmp_path / 'a.npy', np.array([{}], object), allow_pickle=True)
  with pytest.raises(DataDietError, match='is damaged'):
    artifacts.read_npy(tmp_path / 'a.npy')


def test_scores_of_another_length_are_refused(tmp_path):
  artifacts.write_npy(tmp_path / 'a.npy', np.arange(5))
  with pytest.raises(DataDietError) as error:
    artifacts.read_npy(tmp_path / 'a.npy', num_examples=6)
  assert 'a.npy has shape (5,), the data set has 6 examples' in str(error.value)


def test_a_folder_is_complete_when_its_manifest_is_there_and_agrees(tmp_path):
  assert artifacts.read_manifest(tmp_path) is None
  assert not artifacts.is_complete(tmp_path, steps=(1, 2))
  artifacts.write_manifest(
    tmp_path, {'fingerprint': 'f', 'steps': (1, 2), 'more': 3}
  )
  assert artifacts.is_complete(tmp_path)
  assert artifacts.is_complete(tmp_path, fingerprint='f', steps=(1, 2))
  assert not artifacts.is_complete(tmp_path, fingerprint='f', steps=(1,))
  assert not artifacts.is_complete(tmp_path, unknown=1)


def test_a_folder_made_for_other_data_is_refused_naming_both(tmp_path):
  artifacts.write_manifest(tmp_path, {'fingerprint': 'before'})
  with pytest.raises(DataDietError) as error:
    artifacts.is_complete(tmp_path, fingerprint='now')
  message = str(error.value)
  assert all(word in message for word in ('before', 'now', str(tmp_path)))
