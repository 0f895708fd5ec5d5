"""Tests correlations, stability, the data map, class counts and cost."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from datadiet import audit
from datadiet.reporting import analysis
from datadiet.reporting.summary import build_summary
from datadiet.results import load_results
from datadiet.workdir import artifacts
from tests.results import synthetic


def test_rank_correlations_are_spearmans(workdir):
  results = load_results(workdir)
  found = analysis.rank_correlations(results)
  assert len(found) == 2 * len(synthetic.HIGHER_IS)
  grand, aum = results.scores_at(20)['grand'], results.scores_at(60)['aum']
  expected = stats.spearmanr(grand, aum).statistic
  assert found.loc['grand (20)', 'aum (60)'] == pytest.approx(expected)
  np.testing.assert_allclose(np.diag(found), 1.0)


def test_correlations_of_many_scores_are_those_of_the_last_step(
  workdir, monkeypatch
):
  assert analysis.rank_correlations(load_results(workdir)).columns.name == (
    'score and step'
  )
  monkeypatch.setattr(analysis, '_MAX_CORRELATED', 10)
  found = analysis.rank_correlations(load_results(workdir))
  assert list(found.columns) == list(synthetic.HIGHER_IS)
  assert found.columns.name == 'score'


def test_stability_compares_every_two_runs(workdir):
  results = load_results(workdir)
  found = analysis.run_stability(results)
  el2n = found[found['score'] == 'el2n']
  pairs = list(zip(el2n['run_a'], el2n['run_b'], strict=True))
  assert pairs == [(0, 1), (0, 2), (1, 2)]
  by_run = results.run_scores('el2n')
  expected = stats.spearmanr(by_run[0], by_run[2]).statistic
  assert el2n['spearman'].iloc[1] == pytest.approx(expected)
  top = [set(by_run[run].nlargest(36).index) for run in (0, 2)]
  expected = len(top[0] & top[1]) / 36
  assert el2n['overlap'].iloc[1] == pytest.approx(expected)
  (row,) = [
    row for row in analysis.stability_by_score(found) if row['score'] == 'el2n'
  ]
  assert row['num_pairs'] == 3
  assert row['spearman'] == pytest.approx(el2n['spearman'].mean())


def test_stability_is_over_what_both_runs_have(workdir):
  for run, has_none in ((0, slice(0, 60)), (1, slice(60, 120))):
    path = workdir.scores(run, 60) / 'aum.npy'
    aum = np.load(path)
    aum[has_none] = np.nan
    np.save(path, aum)
  results = load_results(workdir)
  found = analysis.run_stability(results)
  aum = found[found['score'] == 'aum'].set_index(['run_a', 'run_b'])
  assert list(aum.index) == [(0, 2), (1, 2)]  # 0 and 1 share none.
  by_run = results.run_scores('aum').iloc[60:]
  expected = stats.spearmanr(by_run[0], by_run[2]).statistic
  assert aum.loc[(0, 2), 'spearman'] == pytest.approx(expected)
  top = [set(by_run[run].nlargest(18).index) for run in (0, 2)]
  expected = len(top[0] & top[1]) / 18
  assert aum.loc[(0, 2), 'overlap'] == pytest.approx(expected)


def test_scores_that_tie_agree_by_chance_only(workdir):
  rng = np.random.default_rng(0)
  for run in range(3):
    array = rng.integers(0, 2, 120).astype(np.float32)
    artifacts.write_npy(workdir.scores(run, 60) / 'forgetting.npy', array)
  found = analysis.run_stability(load_results(workdir))
  forgetting = found[found['score'] == 'forgetting']
  # Random scores share what random draws do: TOP_FRACTION.
  np.testing.assert_allclose(forgetting['overlap'], 0.3, atol=0.08)


def test_one_run_has_no_stability(workdir):
  for run in (1, 2):
    (workdir.scores(run, 60) / artifacts.MANIFEST).unlink()
  found = analysis.run_stability(load_results(workdir))
  assert found.empty
  assert analysis.stability_by_score(found) == []


def test_majority_takes_the_class_of_most_runs():
  predictions = pd.DataFrame({0: [1, 2, 0], 1: [1, 0, 2], 2: [2, 1, 2]})
  # Where all differ, the first run's, as in the audit.
  assert list(analysis.majority(predictions)) == [1, 2, 2]
  assert analysis.majority(pd.DataFrame(index=range(3))) is None


def test_the_page_and_the_audit_agree_on_what_most_runs_predict(workdir):
  votes = np.array([[5, 2], [3, 3], [5, 5], [3, 3], [1, 5]], np.int32)
  page = analysis.majority(pd.DataFrame(dict(enumerate(votes))))
  assert page.tolist() == audit.most_voted(votes).tolist() == [5, 3]


def test_the_data_map_is_made_of_scores_where_there_are(workdir):
  results = load_results(workdir)
  found = analysis.data_map(results)
  expected = results.scores[['mean_confidence', 'variability', 'correctness']]
  pd.testing.assert_frame_equal(found, expected)


def test_the_data_map_is_made_of_dynamics_otherwise(tmp_path, dataset):
  workdir = artifacts.Workdir.at(tmp_path)
  synthetic.write_description(workdir, dataset)
  synthetic.write_scores(workdir, dataset, 60, names=('el2n',))
  assert analysis.data_map(load_results(workdir)).empty
  for run, visits in ((0, 4), (1, 2)):
    dynamics = {
      'visits': np.full(120, visits),
      'num_correct': np.full(120, 1),
      'confidence_mean': np.full(120, 0.2 * (run + 1)),
      'confidence_m2': np.full(120, 0.36),
    }
    # One example that run 0 never saw, one that no run saw.
    dynamics['visits'][: 1 + (run == 0)] = 0
    folder = workdir.run('train', run) / 'dynamics'
    artifacts.write_npz(folder / 'step_60.npz', dynamics)
  found = analysis.data_map(load_results(workdir))
  assert found.iloc[0].isna().all()
  np.testing.assert_allclose(found.iloc[1], [0.4, 0.18**0.5, 0.5], rtol=1e-6)
  expected = [0.3, (0.09**0.5 + 0.18**0.5) / 2, (0.25 + 0.5) / 2]
  np.testing.assert_allclose(found.iloc[5], expected, rtol=1e-6)
  assert found.attrs['step'] == 60
  # What came after the scores beside it is not looked at.
  for run in range(2):
    folder = workdir.run('train', run) / 'dynamics'
    artifacts.write_npz(folder / 'step_90.npz', dynamics)
  again = analysis.data_map(load_results(workdir))
  pd.testing.assert_frame_equal(again, found)
  for run in range(2):
    (workdir.run('train', run) / 'dynamics' / 'step_60.npz').unlink()
  last = analysis.data_map(load_results(workdir))
  assert last.attrs['step'] == 90 and not last.equals(found)


def test_class_counts_and_shares(workdir, dataset):
  results = load_results(workdir)
  counts = analysis.class_counts(results)
  labels = dataset.train.labels
  assert list(counts['all examples']) == list(np.bincount(labels))
  kept = results.selections['el2n_step_60_keep_max_36'].kept()
  column = counts['el2n_step_60_keep_max_36']
  assert list(column) == list(np.bincount(labels[kept], minlength=3))
  draws = results.selections['random_36'].example_index.values()
  expected = np.mean([np.bincount(labels[draw]) for draw in draws], 0)
  np.testing.assert_allclose(counts['random_36'], expected)
  shares = analysis.class_shares(results)
  assert 'all examples' not in shares
  expected = expected / np.bincount(labels)
  np.testing.assert_allclose(shares['random_36'], expected)


def test_cost(workdir):
  results = load_results(workdir)
  cost = analysis.cost(results, build_summary(results))
  stages = [row['stage'] for row in cost['stages']]
  assert stages == ['train', 'score', 'select', 'retrain']
  assert cost['diet_device_seconds'] == pytest.approx(2 * 34.1)
  assert cost['per_retraining'] == pytest.approx(100 / 12)
  saved = {row['selection']: row for row in cost['selections']}
  assert len(saved) == 4
  row = saved['random_36']
  assert row['saved_bytes'] == 84 * 8 * 8 * 3
  assert row['saved_device_seconds'] == pytest.approx(0.7 * 100 / 12)


def test_what_goes_through_all_the_data_saves_none(workdir, dataset):
  for name, num in (('rs2_60', 60), ('infobatch_120', 120)):
    synthetic.write_run(workdir, dataset, f'retrain/{name}', 0, 0.99, num)
  results = load_results(workdir)
  saved = analysis.cost(results, build_summary(results))['selections']
  names = {row['selection'] for row in saved}
  assert 'random_36' in names and not {'rs2_60', 'infobatch_120'} & names


def test_cost_while_stages_are_missing(workdir):
  artifacts.write_json(workdir.timing, {'train': {'seconds': 1.0}})
  results = load_results(workdir)
  cost = analysis.cost(results, build_summary(results))
  assert cost['diet_device_seconds'] is None
  assert cost['per_retraining'] is None
  assert cost['selections'][0]['saved_device_seconds'] is None


def test_accuracies_by_class_are_means_over_runs(workdir):
  results = load_results(workdir)
  assert analysis.class_accuracies(results).empty
  for run, values in ((0, [0.2, 0.4, 0.6]), (1, [0.4, 0.6, 1.0])):
    folder = workdir.run('retrain/random_36', run)
    manifest = artifacts.read_manifest(folder)
    artifacts.write_manifest(folder, manifest | {'class_accuracy': values})
  found = analysis.class_accuracies(load_results(workdir))
  np.testing.assert_allclose(found['random_36'], [0.3, 0.5, 0.8])
