"""Tests that results are read back as the stages wrote them."""

import shutil

import numpy as np
import pandas as pd
import pytest

import datadiet
from datadiet.errors import DataDietError
from datadiet.reporting.summary import build_summary
from datadiet.results import load_results, reading
from datadiet.workdir import artifacts
from tests.results import synthetic


def test_scores_are_the_means_of_the_last_step(workdir, dataset):
  results = datadiet.load_results(workdir.root)
  assert results.steps == list(synthetic.STEPS)
  scores = results.scores
  assert scores.index.name == 'example_index'
  assert list(scores.index) == list(range(120))
  assert list(scores.columns) == ['id', 'label', *synthetic.HIGHER_IS]
  np.testing.assert_array_equal(scores['label'], dataset.train.labels)
  np.testing.assert_array_equal(scores['id'], dataset.train.ids)
  for step in synthetic.STEPS:
    for name, expected in synthetic.mean_scores(dataset, step).items():
      found = results.scores_at(step)[name]
      assert found.dtype == np.float32
      np.testing.assert_array_equal(found, expected)


def test_scores_handed_out_are_copies(workdir):
  results = load_results(workdir)
  scores = results.scores
  scores.loc[0, 'el2n'] = 99.0
  scores['rank'] = 1
  assert results.scores['el2n'].max() < 99.0
  assert 'rank' not in results.scores


def test_scores_by_run(workdir, dataset):
  results = load_results(workdir)
  by_run = results.run_scores('grand', 20)
  assert list(by_run.columns) == [0, 1, 2]
  for run in range(synthetic.NUM_RUNS):
    expected = synthetic.invent_scores(dataset, run, 20)['grand']
    np.testing.assert_array_equal(by_run[run], expected)
  assert results.predictions().dtypes.eq(np.int32).all()
  # A score that one run lacks.
  (workdir.scores(1, 20) / 'grand.npy').unlink()
  assert list(results.run_scores('grand', 20).columns) == [0, 2]


def test_ids_that_look_like_numbers_or_gaps_stay_text(workdir):
  path = workdir.scores_csv(60)
  lines = path.read_text().splitlines()
  for line, name in ((1, '007'), (2, 'NA'), (3, '')):
    cells = lines[line].split(',')
    lines[line] = ','.join([cells[0], name, *cells[2:]])
  path.write_text('\n'.join(lines) + '\n')
  scores = load_results(workdir).scores
  assert list(scores['id'][:3]) == ['007', 'NA', '']


def test_a_return_in_an_id_is_part_of_it(tmp_path):
  path = tmp_path / 'table.csv'
  rows = [[0, 'a\rb.png'], [1, 'c.png']]
  artifacts.write_csv(path, ['example_index', 'id'], rows)
  assert reading.read_csv(path)['id'].tolist() == ['a\rb.png', 'c.png']
  path.write_bytes(b'example_index,id\r\n0,a.png\r\n')  # By another program.
  assert reading.read_csv(path)['id'].tolist() == ['a.png']


def test_history_has_a_row_a_logged_step_of_every_run(workdir):
  history = load_results(workdir).history
  train = history[history['group'] == 'train']
  assert sorted(set(train['run'])) == [0, 1, 2]
  assert list(train[train['run'] == 1]['step']) == [10, 20, 30, 40, 50, 60]
  assert train['test_accuracy'].isna().sum() == 9
  assert train['test_accuracy'].max() == pytest.approx(0.952)
  assert set(history['group']) == {
    'train',
    'retrain/el2n_step_60_keep_max_60',
    'retrain/el2n_step_60_keep_max_36',
    'retrain/random_60',
    'retrain/random_36',
  }


def test_selections(workdir):
  selections = load_results(workdir).selections
  hardest = selections['el2n_step_60_keep_max_36']
  assert (hardest.policy, hardest.score, hardest.step) == (
    'keep_max',
    'el2n',
    60,
  )
  assert hardest.num_kept == len(hardest.kept()) == 36
  assert hardest.fraction == pytest.approx(0.3)
  np.testing.assert_array_equal(hardest.kept(0), hardest.kept(2))
  random = selections['random_60']
  assert random.differs_by_run
  assert random.num_kept == 60
  assert not np.array_equal(random.kept(0), random.kept(1))
  with pytest.raises(DataDietError, match='no draw for run 7'):
    random.kept(7)


def test_retraining_runs(workdir):
  results = load_results(workdir)
  retrain = results.retrain
  assert len(retrain) == 12
  random = retrain[retrain['selection'] == 'random_36']
  assert list(random['run']) == [0, 1, 2]
  # They begin with other networks than the runs that score.
  assert list(random['network']) == [1000, 1001, 1002]
  assert list(results.train_runs['network']) == [0, 1, 2]
  assert set(random['num_kept']) == {36}
  assert random['fraction'].unique() == pytest.approx([0.3])
  np.testing.assert_allclose(random['test_accuracy'], [0.9, 0.902, 0.904])


def test_partial_workdirs_are_read(workdir):
  (workdir.run('retrain/random_36', 2) / 'manifest.json').unlink()
  (workdir.selection('random_60', 0) / 'manifest.json').unlink()
  (workdir.scores(None, 60) / 'manifest.json').unlink()
  results = load_results(workdir)
  retrain = results.retrain
  assert list(retrain[retrain['selection'] == 'random_36']['run']) == [0, 1]
  assert sorted(results.selections['random_60'].example_index) == [1, 2]
  assert results.steps == [20]
  pd.testing.assert_frame_equal(results.scores, results.scores_at(20))


@pytest.mark.parametrize('parts', [(), ('train',), ('train', 'scores')])
def test_workdirs_without_later_stages(workdir, parts):
  for name in {'train', 'scores', 'selections', 'retrain'} - set(parts):
    shutil.rmtree(workdir.root / name)
  results = load_results(workdir)
  assert len(results.train_runs) == (3 if 'train' in parts else 0)
  assert len(results.scores) == (120 if 'scores' in parts else 0)
  assert list(results.scores.columns[:2]) == ['id', 'label']
  assert results.selections == {}
  assert results.retrain.empty
  assert build_summary(results)['missing']


def test_a_missing_folder_is_named(tmp_path):
  with pytest.raises(DataDietError, match='nowhere does not exist'):
    load_results(tmp_path / 'nowhere')
  with pytest.raises(DataDietError, match='no datadiet workdir'):
    load_results(tmp_path)


def test_an_unknown_step_is_refused_with_the_known_ones(workdir):
  with pytest.raises(DataDietError, match=r'step 7 .*\[20, 60\]'):
    load_results(workdir).scores_at(7)


def test_scores_of_other_data_are_refused(workdir, dataset):
  folder = workdir.scores(None, 60)
  manifest = artifacts.read_manifest(folder)
  artifacts.write_manifest(folder, manifest | {'fingerprint': 'feedbeef'})
  with pytest.raises(DataDietError, match='feedbeef.*' + dataset.fingerprint):
    _ = load_results(workdir).scores


def test_a_damaged_table_is_named(workdir):
  path = workdir.scores_csv(60)
  lines = path.read_text().splitlines()
  path.write_text('\n'.join([lines[0], *reversed(lines[1:])]))
  with pytest.raises(DataDietError, match='scores_step_60.csv'):
    _ = load_results(workdir).scores
  path.write_text('')
  with pytest.raises(DataDietError, match='scores_step_60.csv is damaged'):
    _ = load_results(workdir).scores


@pytest.mark.parametrize('run', [0, None])
def test_a_flipped_byte_in_a_score_is_noticed(workdir, run):
  folder = workdir.scores(run, 60)
  path = folder / 'el2n.npy'
  manifest = artifacts.read_manifest(folder)
  checksums = {'el2n': artifacts.checksum(artifacts.read_npy(path))}
  artifacts.write_manifest(folder, manifest | {'checksums': checksums})

  def read():
    results = load_results(workdir)
    return results.scores if run is None else results.run_scores('el2n')

  read()
  content = bytearray(path.read_bytes())
  content[-1] ^= 1
  path.write_bytes(content)
  with pytest.raises(DataDietError, match='el2n.npy is damaged'):
    read()


def test_reading_needs_no_jax():
  import subprocess
  import sys

  code = (
    'import sys, datadiet.reporting; '
    "assert not {'jax', 'tensorflow'} & set(sys.modules)"
  )
  subprocess.run([sys.executable, '-c', code], check=True)


def test_label_issues_carry_names(workdir, dataset):
  assert load_results(workdir).label_issues.empty
  synthetic.write_audit(workdir, dataset)
  results = load_results(workdir)
  table = results.label_issues
  assert table.index.name == 'example_index'
  assert table['rank'].is_monotonic_increasing
  assert table['is_issue'].dtype == bool
  labels = dataset.train.labels[table.index]
  assert table['given_label'].tolist() == labels.tolist()
  names = [dataset.class_names[label] for label in labels]
  assert table['given_label_name'].tolist() == names
  suggested = [results.class_names[i] for i in table['suggested_label']]
  assert table['suggested_label_name'].tolist() == suggested


def test_printing_selections_prints_no_arrays(workdir):
  text = str(load_results(workdir).selections)
  assert 'keep_max' in text and 'array' not in text


@pytest.mark.parametrize(
  ('settings', 'title'),
  [
    ({'name': 'image_folder', 'data_dir': '/data/photos/'}, 'photos'),
    ({'name': 'arrays', 'data_dir': 'sets/mine.npz'}, 'mine'),
    ({'name': 'cifar10', 'data_dir': '/tfds'}, 'noise'),
    ({'name': 'image_folder', 'data_dir': ''}, 'noise'),
  ],
)
def test_the_title_is_the_data_sets_own_name(workdir, settings, title):
  content = artifacts.read_json(workdir.config)
  content['config']['dataset'] = settings
  artifacts.write_json(workdir.config, content)
  assert load_results(workdir).title == title
