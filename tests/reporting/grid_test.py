"""Tests the grid: what is compared with what, and who is called best."""

import csv
import shutil

import numpy as np
import pytest
from scipy import stats

from datadiet.reporting import grid, write_report
from datadiet.reporting.summary import build_summary
from datadiet.results import load_results
from datadiet.workdir import artifacts
from tests.results import synthetic


def _add_method(
  workdir, dataset, policy, accuracies, num_kept=60, name=None, **changes
):
  """Retrainings of one more method, a run for each accuracy."""
  seen = {'policy': policy, 'options': {}, 'changes': False, **changes}
  for run, accuracy in enumerate(accuracies):
    group = f'retrain/{name or policy}_{num_kept}'
    # Runs of the synthetic workdir differ by 0.002.
    base = accuracy - 0.002 * run
    synthetic.write_run(workdir, dataset, group, run, base, num_kept, seen)


def _grid(workdir, num_tested=10**12):
  """The grid, as if of a test split so large that it has no variance."""
  description = artifacts.read_json(workdir.dataset)
  description['num_test_examples'] = num_tested
  artifacts.write_json(workdir.dataset, description)
  results = load_results(workdir)
  return grid.build_grid(results, build_summary(results))


def _rows(group):
  return {row['selection']: row for row in group['rows']}


def test_nothing_is_compared_where_there_is_one_method(workdir):
  assert _grid(workdir) == []
  write_report(workdir, None)
  assert not (workdir.report / 'grid.html').exists()


def test_selections_of_one_policy_by_two_scores_are_compared(workdir, dataset):
  name = 'grand_step_60_keep_max'
  seen = {'score': 'grand', 'step': 60}
  _add_method(workdir, dataset, 'keep_max', [0.93, 0.95], name=name, **seen)
  (group,) = _grid(workdir)
  methods = [row['method'] for row in group['rows']]
  assert methods == ['el2n_step_60_keep_max', name, 'random']


def test_draws_by_budgets_are_compared_with_plain_ones(tmp_path, dataset):
  workdir = synthetic.artifacts.Workdir.at(tmp_path)
  synthetic.write_description(workdir, dataset)
  synthetic.write_random(workdir, dataset, 60)
  assert _grid(workdir) == []
  accuracies = [0.91, 0.93, 0.95]
  budget = {'name': 'drop', 'budget': 'worst_class'}
  _add_method(workdir, dataset, 'random', accuracies, **budget)
  (group,) = _grid(workdir)
  rows = _rows(group)
  assert set(rows) == {'drop_60', 'random_60'}
  random = np.array([0.9, 0.902, 0.904])
  test = stats.ttest_rel(accuracies, random)
  assert rows['drop_60']['minus_random'] == pytest.approx(0.028)
  assert rows['drop_60']['p_value'] == pytest.approx(test.pvalue)
  assert rows['random_60']['p_value'] is None


def test_balanced_draws_alone_are_no_method(workdir, dataset):
  balanced = {'name': 'random_balanced', 'class_balanced': True}
  _add_method(workdir, dataset, 'random', [0.9, 0.91], **balanced)
  assert _grid(workdir) == []


def test_balanced_methods_are_compared_with_balanced_draws(workdir, dataset):
  """As in the summary: one difference, not two."""
  balanced = {'class_balanced': True}
  accuracies = [0.91, 0.93, 0.95]
  _add_method(
    workdir, dataset, 'random', accuracies, name='random_balanced', **balanced
  )
  _add_method(workdir, dataset, 'ccs', [0.93, 0.97, 0.99], **balanced)
  (group,) = _grid(workdir)
  rows = _rows(group)
  difference = {
    'ccs_60': np.mean([0.93, 0.97, 0.99]) - np.mean(accuracies),
    'random_balanced_60': np.mean(accuracies) - 0.902,
    'el2n_step_60_keep_max_60': 0.05,
    'random_60': None,
  }
  for name, expected in difference.items():
    assert rows[name]['minus_random'] == pytest.approx(expected), name
  summary = build_summary(load_results(workdir))
  stated = {
    row['selection']: row['minus_random'] for row in summary['accuracy']
  }
  assert stated['ccs_60'] == pytest.approx(difference['ccs_60'])


def test_a_grid_of_retrainings_that_are_gone_is_removed(workdir, dataset):
  _add_method(workdir, dataset, 'ccs', [0.93, 0.95, 0.92])
  write_report(workdir, None)
  names = ('grid.html', 'grid.csv')
  assert all((workdir.report / name).exists() for name in names)
  shutil.rmtree(workdir.root / 'retrain' / 'ccs_60')
  write_report(workdir, None)
  assert not any((workdir.report / name).exists() for name in names)


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
  # Two methods are compared with random; the other has the lower p-value.
  assert row['p_value'] == pytest.approx(test.pvalue)
  assert row['is_paired'] is True
  assert rows['random_60']['p_value'] is None
  assert row['num_runs'] == 3
  assert row['training_steps'] == synthetic.NUM_STEPS


def test_equal_differences_of_a_small_test_split_are_no_proof(workdir, dataset):
  """All three runs are 0.05 above random: ten of 200 test images."""
  _add_method(workdir, dataset, 'ccs', [0.9, 0.902, 0.904])
  (group,) = _grid(workdir, num_tested=200)
  row = _rows(group)['el2n_step_60_keep_max_60']
  variance = (0.952 * 0.048 + 0.902 * 0.098) / 200
  p_value = 2 * stats.t.sf(0.05 / np.sqrt(variance / 3), 2)
  # Of two methods, hence twice.
  assert row['p_value'] == pytest.approx(2 * p_value, rel=0.1)
  assert group['best'] is None


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


@pytest.mark.parametrize('num_runs', [1, 2])
def test_few_runs_tell_nothing(workdir, dataset, num_runs):
  _add_method(workdir, dataset, 'ccs', [0.99, 0.992][:num_runs])
  (group,) = _grid(workdir)
  assert group['best'] is None
  assert 'fewer than 3 runs each' in group['verdict']
  row = _rows(group)['ccs_60']
  assert (row['interval'] is None) == (num_runs == 1)
  assert row['p_value'] is None
  assert row['minus_random'] == pytest.approx(0.09)


def test_at_full_size_methods_are_compared_with_all_the_data(workdir, dataset):
  for policy in ('infobatch', 'seta'):
    _add_method(
      workdir, dataset, policy, [0.94, 0.95, 0.96], num_kept=120, changes=True
    )
  (group,) = _grid(workdir)
  assert group['num_kept'] == 120
  # These are of the runs that score, which begin with other networks.
  full, others = [0.952, 0.954, 0.956], [0.94, 0.95, 0.96]
  for name in ('infobatch_120', 'seta_120'):
    row = _rows(group)[name]
    assert row['minus_random'] == pytest.approx(np.mean(others) - 0.954)
    assert row['is_paired'] is False
  alone = stats.ttest_ind(others, full, equal_var=False).pvalue
  assert row['p_value'] == pytest.approx(min(1.0, 2 * alone))
  write_report(workdir, None)
  page = (workdir.report / 'grid.html').read_text()
  assert page.count(' unpaired</td>') == 2


def test_all_the_data_retrained_on_are_paired(workdir, dataset):
  for run in range(3):
    synthetic.write_run(workdir, dataset, 'retrain/full_120', run, 0.97)
    folder = workdir.run('retrain/full_120', run)
    _state(folder, class_accuracy=[0.9, 0.8, 0.98])
    _state(workdir.run('train', run), class_accuracy=[0.9, 0.1, 0.98])
  others = [0.94, 0.95, 0.99]
  _add_method(workdir, dataset, 'seta', others, num_kept=120, changes=True)
  (group,) = _grid(workdir)
  rows = _rows(group)
  row = rows['seta_120']
  assert row['is_paired'] is True
  test = stats.ttest_rel(others, [0.97, 0.972, 0.974])
  assert row['p_value'] == pytest.approx(test.pvalue)
  # Of the retrainings, not of the runs that score.
  assert rows['full data']['worst_class'] == pytest.approx(0.8)
  write_report(workdir, None)
  assert ' unpaired</td>' not in (workdir.report / 'grid.html').read_text()


def _state(folder, **changes):
  """Changes entries of a manifest."""
  manifest = artifacts.read_manifest(folder)
  artifacts.write_manifest(folder, manifest | changes)


@pytest.mark.parametrize(
  'facts, steps',
  [
    # Three networks, trained up to step 20 or 60.
    ({'score': 'el2n', 'step': 20, 'made_from': {'scores': 1}}, 60),
    ({'score': 'el2n', 'step': 60, 'made_from': {'scores': 1}}, 180),
    # Stated to be of one network alone.
    ({'score': 'grand', 'step': 20, 'made_from': {'scores': 1}}, 20),
    ({'score': 'input_norm', 'step': 20, 'made_from': {'scores': 1}}, 0),
    ({'score': None, 'step': 60, 'made_from': {'features': 1}}, 60),
    ({'score': None, 'step': 60, 'made_from': {'class_errors': 1}}, 60),
    (
      {
        'score': 'grand',
        'step': 20,
        'made_from': {'scores': 1, 'mean_confidence': 2},
      },
      60,
    ),
    # From a file; and from nothing.
    ({'score': 'mine', 'step': None, 'made_from': {'scores': 1}}, None),
    ({'score': None, 'step': None, 'made_from': {}}, 0),
  ],
)
def test_steps_of_scoring_are_of_the_networks_up_to_the_step(
  workdir, dataset, facts, steps
):
  folder = workdir.scores(None, 20)
  stated = artifacts.read_manifest(folder)['scores']
  pixels = {**stated['el2n'], 'based_on': 'pixels'}
  grand = {**stated['grand'], 'runs': [0]}
  _state(folder, scores={**stated, 'grand': grand, 'input_norm': pixels})
  synthetic.write_selection(workdir, dataset, 'ccs_60', np.arange(60))
  _state(workdir.selection('ccs_60'), policy='ccs', **facts)
  row = _rows(_grid(workdir)[0])['ccs_60']
  assert row['scoring_steps'] == steps


def test_held_out_predictions_are_of_all_networks(workdir, dataset):
  config = artifacts.read_json(workdir.config)
  config['config']['train']['folds'] = 3
  artifacts.write_json(workdir.config, config)
  synthetic.write_selection(workdir, dataset, 'ccs_60', np.arange(60))
  _state(workdir.selection('ccs_60'), score=None, made_from={'class_errors': 1})
  assert _rows(_grid(workdir)[0])['ccs_60']['scoring_steps'] == 180


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
