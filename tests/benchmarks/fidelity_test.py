"""Tests of what the phases of gpu_fidelity.sh hand on to each other."""

import csv
import json

import numpy as np
import pytest

import datadiet
from benchmarks import fidelity
from datadiet.errors import DataDietError
from datadiet.results import reference
from datadiet.workdir import artifacts
from datadiet.workdir.artifacts import Workdir

NUM = 40


def _workdir(folder, seed, *, fingerprint='abc', finished=True) -> Workdir:
  """A workdir with what is read of it."""
  workdir = Workdir.at(folder)
  rng = np.random.default_rng(seed)
  scores = {
    name: rng.random(NUM).astype(np.float32) for name in fidelity.SCORES
  }
  scored = workdir.scores(0, 7800)
  for name, values in scores.items():
    artifacts.write_npy(scored / f'{name}.npy', values)
  checksums = {
    name: artifacts.checksum(values) for name, values in scores.items()
  }
  manifest = {
    'fingerprint': fingerprint,
    'step': 7800,
    'checksums': checksums,
    'scores': {name: {'definition': f'{name} is'} for name in scores},
  }
  artifacts.write_manifest(scored, manifest)
  rows = [[i, f'train_{NUM - i}', 0] for i in range(NUM)]
  artifacts.write_csv(
    workdir.scores_csv(), ('example_index', 'id', 'label'), rows
  )
  config = {'dataset': {'name': 'packed', 'data_dir': '/on/my/machine'}}
  artifacts.write_json(
    workdir.config,
    {'config': config, 'versions': {'jax': '1'}, 'commit': 'c0ffee'},
  )
  artifacts.write_json(workdir.timing, {'train': 1.0})
  run = workdir.run('train', 0)
  run.mkdir(parents=True)
  with (run / 'history.csv').open('w') as file:
    writer = csv.writer(file)
    writer.writerow(['step', 'test_accuracy'])
    writer.writerows([[10, ''], [20, '0.9'], [30, '0.7']])
  if finished:
    artifacts.write_manifest(run, {'num_examples': 20, 'num_steps': 30})
  return workdir


@pytest.fixture
def folder(tmp_path):
  """Scores of three of the ten runs."""
  for run in (0, 1, 4):
    workdir = _workdir(tmp_path / f'work_{run}', run)
    path = tmp_path / 'out' / 'scores' / f'run_0{run}.npz'
    fidelity.collect(workdir.root, path)
  return tmp_path / 'out'


def test_means_are_over_the_runs_that_are_there(folder):
  summary = fidelity.means(folder)
  assert summary['runs'] == [0, 1, 4]
  assert summary['missing_runs'] == [2, 3, 5, 6, 7, 8, 9]
  assert summary['test_accuracy'] == [0.7, 0.7, 0.7]
  with np.load(folder / fidelity.MEAN) as found:
    expected = np.mean(
      [np.random.default_rng(run).random(NUM) for run in (0, 1, 4)], 0
    )
    np.testing.assert_allclose(found['el2n'], expected, rtol=1e-6)
    assert found['el2n'].dtype == np.float32
    assert found['ids'][0] == b'train_40'
    made_by = json.loads(str(found['manifest']))['by_run'][0]['made_by']
    assert made_by['commit'] == 'c0ffee'


def test_means_are_reference_scores(folder, monkeypatch):
  fidelity.means(folder)
  monkeypatch.setattr(reference, '_folder', lambda: folder)
  scores = datadiet.load_reference_scores('mean_scores')
  assert scores.index[0] == 'train_40' and list(scores) == ['el2n', 'grand']
  assert scores.attrs['scores']['el2n'] == {
    'definition': 'el2n is',
    'runs': [0, 1, 4],
  }
  stated = ('dataset', 'fingerprint', 'step', 'versions')
  found = [scores.attrs[name] for name in stated]
  assert found == ['cifar10', 'abc', 7800, {'jax': '1'}]
  assert scores.attrs['config'] == {'dataset': {'name': 'packed'}}
  assert '/on/my/machine' not in str(scores.attrs)


def test_runs_of_other_data_are_refused(folder, tmp_path):
  other = _workdir(tmp_path / 'other', 7, fingerprint='xyz')
  fidelity.collect(other.root, folder / 'scores' / 'run_07.npz')
  with pytest.raises(DataDietError, match='run 7 is of data xyz'):
    fidelity.means(folder)


def test_no_runs_are_one_sentence(tmp_path):
  with pytest.raises(DataDietError, match='holds no run_00.npz'):
    fidelity.means(tmp_path)


def test_half_is_kept_by_score_and_by_chance(folder, tmp_path):
  data = tmp_path / 'data.npz'
  np.savez(data, train_labels=np.arange(NUM, dtype=np.int32) % 10)
  fidelity.subset(tmp_path, data, 'random', 0, tmp_path / 'before_scores.npy')
  fidelity.means(folder)
  with np.load(folder / fidelity.MEAN) as found:
    hardest = np.sort(np.argsort(-found['el2n'])[: NUM // 2])
  kept = {}
  for name, seed in (('el2n', 0), ('random', 0), ('random', 1)):
    path = tmp_path / f'{name}_{seed}.npy'
    fidelity.subset(folder, data, name, seed, path)
    kept[name, seed] = np.load(path)
    assert len(np.unique(kept[name, seed])) == NUM // 2
  np.testing.assert_array_equal(kept['el2n', 0], hardest)
  assert not np.array_equal(kept['random', 0], kept['random', 1])


def test_status_lists_what_is_missing(folder, tmp_path):
  workdir = _workdir(tmp_path / 'retrained', 0)
  fidelity.result(workdir.root, folder / 'retrain' / 'el2n_2.json')
  text = fidelity.status(folder)
  assert 'missing runs: 2 3 5 6 7 8 9' in text
  assert 'retrain el2n: 1 of 4, best test accuracy 90.00 %' in text
  assert 'last 70.00 %; expected best 95.3 %' in text
  assert 'missing seeds: 0 1 3' in text


def test_an_unfinished_retraining_has_no_result(tmp_path):
  workdir = _workdir(tmp_path / 'work', 0, finished=False)
  with pytest.raises(DataDietError, match='is not finished'):
    fidelity.result(workdir.root, tmp_path / 'result.json')
  assert not (tmp_path / 'result.json').exists()
