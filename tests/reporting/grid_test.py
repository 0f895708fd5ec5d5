"""Tests the grid: paired differences, their tests, and who is called best."""

import csv

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from datadiet.reporting import grid, write_report
from datadiet.reporting.summary import build_summary
from datadiet.results import load_results
from datadiet.workdir import artifacts
from tests.results import synthetic


def _add_method(workdir, dataset, policy, accuracies, num_kept=60, **changes):
  """Retrainings of one more method, a run for each accuracy."""
  seen = {'policy': policy, 'options': {}, 'changes': False, **changes}
  for run, accuracy in enumerate(accuracies):
    group = f'retrain/{policy}_{num_kept}'
    # Runs of the synthetic workdir differ by 0.002.
    base = accuracy - 0.002 * run
    synthetic.write_run(workdir, dataset, group, run, base, num_kept, seen)


def _grid(workdir):
  results = load_results(workdir)
  return grid.build_grid(results, build_summary(results))


def _rows(group):
  return {row['selection']: row for row in group['rows']}


def test_nothing_is_compared_where_there_is_one_method(workdir):
  assert _grid(workdir) == []
  write_report(workdir, None)
  assert not (workdir.report / 'grid.html').exists()


def test_differences_are_paired_by_run(workdir, dataset):
  accuracies = [0.93, 0.95, 0.92]
  _add_method(workdir, dataset, 'ccs', accuracies)
  (group,) = _grid(workdir)
  assert (group['num_kept'], group['fraction']) == (60, 0.5)
  rows = _rows(group)
  assert list(rows) == ['el2n_step_60_keep_max_60', 'ccs_60', 'random_60']
  row = rows['ccs_60']
  random = np.array([0.9, 0.902, 0.904])
  differences = np.array(accuracies) - random
  assert row['mean_accuracy'] == pytest.approx(np.mean(accuracies))
  assert row['minus_random'] == pytest.approx(differences.mean())
  test = stats.ttest_rel(accuracies, random)
  low, high = test.confidence_interval()
  assert row['minus_random_interval'] == pytest.approx((high - low) / 2)
  # Two methods are compared with random; the other differs by the same always.
  assert row['p_value'] == pytest.approx(test.pvalue)
  assert rows['el2n_step_60_keep_max_60']['p_value'] < 1e-6
  assert rows['random_60']['p_value'] is None
  assert row['num_runs'] == 3
  assert row['training_steps'] == synthetic.NUM_STEPS


def test_the_best_is_named_where_it_is_beyond_chance(workdir, dataset):
  _add_method(workdir, dataset, 'ccs', [0.93, 0.932, 0.935])
  (group,) = _grid(workdir)
  assert group['best'] == 'el2n_step_60_keep_max'
  assert group['verdict'].startswith('Best: el2n_step_60_keep_max, above all')


@pytest.mark.parametrize(
  'accuracies', [[0.93, 0.97, 0.99], [0.96, 0.94, 0.95], [0.95, 0.99, 0.93]]
)
def test_none_is_named_within_what_runs_differ_by(workdir, dataset, accuracies):
  _add_method(workdir, dataset, 'ccs', accuracies)
  (group,) = _grid(workdir)
  assert group['best'] is None
  assert group['verdict'].startswith('No best method: ')
  for name in ('ccs', 'el2n_step_60_keep_max'):
    assert name in group['verdict']


def test_of_many_within_chance_a_few_are_named(workdir, dataset):
  for number in range(6):
    _add_method(workdir, dataset, f'ccs{number}', [0.93, 0.97, 0.99])
  (group,) = _grid(workdir)
  end = group['verdict'].rpartition('differ by of ')[2]
  # All are: the leader's seven others.
  assert end.count(';') == 3 and end.endswith(' and 3 more.')


def test_one_run_each_tells_nothing(workdir, dataset):
  _add_method(workdir, dataset, 'ccs', [0.99])
  (group,) = _grid(workdir)
  assert group['best'] is None
  assert 'fewer than two runs in common' in group['verdict']
  row = _rows(group)['ccs_60']
  assert (row['interval'], row['p_value']) == (None, None)
  assert row['minus_random'] == pytest.approx(0.09)


def test_at_full_size_methods_are_compared_with_all_the_data(workdir, dataset):
  for policy in ('infobatch', 'seta'):
    _add_method(
      workdir, dataset, policy, [0.94, 0.95, 0.96], num_kept=120, changes=True
    )
  (group,) = _grid(workdir)
  assert group['num_kept'] == 120
  full = np.array([0.952, 0.954, 0.956])
  difference = np.array([0.94, 0.95, 0.96]) - full
  for name in ('infobatch_120', 'seta_120'):
    row = _rows(group)[name]
    assert row['minus_random'] == pytest.approx(difference.mean())
  alone = stats.ttest_1samp(difference, 0).pvalue
  assert row['p_value'] == pytest.approx(min(1.0, 2 * alone))


def test_what_only_some_have_is_left_open(workdir, dataset):
  _add_method(workdir, dataset, 'ccs', [0.93, 0.95, 0.92])
  for run in range(3):
    folder = workdir.run('retrain/ccs_60', run)
    manifest = artifacts.read_manifest(folder)
    manifest['class_accuracy'] = [0.9, 0.7 + 0.01 * run, None]
    manifest['extra_test_accuracy'] = {'fog': 0.5 + 0.1 * run}
    artifacts.write_manifest(folder, manifest)
  timing = artifacts.read_json(workdir.timing)
  timing['select']['subsets'] = {'ccs_60': 3.5}
  artifacts.write_json(workdir.timing, timing)
  rows = _rows(_grid(workdir)[0])
  assert rows['ccs_60']['worst_class'] == pytest.approx(0.71)
  assert rows['ccs_60']['extra_tests'] == {'fog': pytest.approx(0.6)}
  assert rows['ccs_60']['selection_seconds'] == 3.5
  assert rows['random_60']['worst_class'] is None
  assert rows['random_60']['extra_tests'] == {}
  summary = write_report(workdir, None)
  assert summary['best_methods'][0].startswith('50.0 % kept. ')
  page = (workdir.report / 'grid.html').read_text()
  assert '<th scope="col">fog</th>' in page and '3.5 s' in page
  text = (workdir.report / 'grid.csv').read_text()
  table = list(csv.DictReader(text.splitlines()))
  assert len(table) == 3
  assert table[0]['method'] == 'el2n_step_60_keep_max'
  assert float(table[1]['test_accuracy_fog']) == pytest.approx(0.6)
  index = (workdir.report / 'index.html').read_text()
  assert 'href="grid.html"' in index


def test_holm_corrects_by_how_many_are_left():
  found = grid.holm([0.03, None, 0.01, 0.04])
  assert found == [
    pytest.approx(0.06),
    None,
    pytest.approx(0.03),
    pytest.approx(0.06),
  ]
  assert grid.holm([0.6, 0.7]) == [1.0, 1.0]


def test_differences_that_never_vary():
  values = pd.Series([0.5, 0.6, 0.7])
  assert grid.paired(values, values)[2] == 1.0
  assert grid.paired(values, pd.Series([0.4], index=[7])) == (None,) * 3
