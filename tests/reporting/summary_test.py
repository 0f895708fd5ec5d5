"""Tests the summary's numbers and its table."""

import json

import numpy as np
import pytest

from datadiet.reporting import run_charts
from datadiet.reporting.summary import (
  FULL,
  build_summary,
  format_table,
  percent,
)
from datadiet.results import load_results
from datadiet.workdir import artifacts
from tests.results import synthetic


def _by_name(summary: dict) -> dict:
  return {row['selection']: row for row in summary['accuracy']}


def _change_runs(workdir, group: str, **changes) -> None:
  for run in range(synthetic.NUM_RUNS):
    folder = workdir.run(group, run)
    manifest = artifacts.read_manifest(folder)
    artifacts.write_manifest(folder, manifest | changes)


def test_accuracies_and_differences(workdir):
  summary = build_summary(load_results(workdir))
  rows = _by_name(summary)
  assert list(rows) == [
    FULL,
    'el2n_step_60_keep_max_60',
    'random_60',
    'el2n_step_60_keep_max_36',
    'random_36',
  ]
  hardest = rows['el2n_step_60_keep_max_60']
  assert hardest['num_runs'] == 3
  assert hardest['mean_accuracy'] == pytest.approx(0.952)
  assert hardest['std_accuracy'] == pytest.approx(0.002)
  assert hardest['random_selection'] == 'random_60'
  assert hardest['minus_random'] == pytest.approx(0.05)
  assert hardest['minus_full'] == pytest.approx(-0.002)
  assert rows['random_60']['minus_random'] is None
  assert rows['random_60']['minus_full'] == pytest.approx(-0.052)
  assert rows[FULL]['minus_full'] is None
  assert rows[FULL]['num_kept'] == 120
  assert summary['smallest_equal'] == 'el2n_step_60_keep_max_36'
  assert summary['missing'] == []


def test_a_summary_is_json(workdir):
  summary = build_summary(load_results(workdir))
  assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_one_run_has_no_deviation(workdir):
  for run in (1, 2):
    path = workdir.run('retrain/random_36', run) / artifacts.MANIFEST
    path.unlink()
  row = _by_name(build_summary(load_results(workdir)))['random_36']
  assert row['num_runs'] == 1
  assert row['mean_accuracy'] == pytest.approx(0.9)
  assert row['std_accuracy'] is None


def test_training_runs_of_other_lengths_are_no_reference(workdir):
  _change_runs(workdir, 'train', num_steps=30)
  summary = build_summary(load_results(workdir))
  assert FULL not in _by_name(summary)
  assert _by_name(summary)['random_36']['minus_full'] is None
  assert summary['smallest_equal'] is None
  assert 'comparable' in ' '.join(summary['missing'])


def test_half_a_point_less_is_equal(workdir):
  _change_runs(workdir, 'train', test_accuracy=0.95)
  _change_runs(workdir, 'retrain/random_36', test_accuracy=0.945)
  name = 'el2n_step_60_keep_max_36'
  _change_runs(workdir, f'retrain/{name}', test_accuracy=0.9)
  summary = build_summary(load_results(workdir))
  assert summary['smallest_equal'] == 'random_36'


def test_training_runs_on_half_the_data_are_no_reference(workdir):
  _change_runs(workdir, 'train', num_examples=60)
  summary = build_summary(load_results(workdir))
  assert FULL not in _by_name(summary)
  assert summary['smallest_equal'] is None
  assert 'part of the data' in ' '.join(summary['missing'])


def test_retraining_on_everything_is_the_reference(workdir, dataset):
  _change_runs(workdir, 'train', num_steps=30)
  for run in range(2):
    synthetic.write_run(workdir, dataset, 'retrain/full_120', run, 0.8)
  rows = _by_name(build_summary(load_results(workdir)))
  assert 'full_120' not in rows
  assert rows[FULL]['num_runs'] == 2
  assert rows[FULL]['mean_accuracy'] == pytest.approx(0.801)
  assert rows['random_36']['minus_full'] == pytest.approx(0.101)


def test_balanced_subsets_are_compared_with_balanced_random_ones(
  workdir, dataset
):
  kept = np.arange(60)
  name = 'el2n_step_60_keep_max_60_balanced'
  synthetic.write_selection(workdir, dataset, name, kept)
  synthetic.write_selection(workdir, dataset, 'random_60_balanced', kept)
  for folder, policy in ((name, 'keep_max'), ('random_60_balanced', 'random')):
    path = workdir.selection(folder)
    changes = {'class_balanced': True, 'policy': policy}
    manifest = artifacts.read_manifest(path) | changes
    artifacts.write_manifest(path, manifest)
    _change_runs(workdir, f'retrain/{folder}', selection=manifest)
  rows = _by_name(build_summary(load_results(workdir)))
  assert rows[name]['random_selection'] == 'random_60_balanced'
  plain = rows['el2n_step_60_keep_max_60']
  assert plain['random_selection'] == 'random_60'


def test_accuracies_that_were_not_measured(workdir):
  _change_runs(workdir, 'retrain/random_36', test_accuracy=None)
  summary = build_summary(load_results(workdir))
  row = _by_name(summary)['random_36']
  assert (row['mean_accuracy'], row['minus_full']) == (None, None)
  assert _by_name(summary)['el2n_step_60_keep_max_36']['minus_random'] is None
  format_table(summary)


def test_the_table(workdir):
  lines = format_table(build_summary(load_results(workdir))).splitlines()
  assert lines[0].split('  ')[0] == 'selection'
  assert len({len(line) for line in lines}) == 1
  row = next(line for line in lines if line.startswith('el2n_step_60_keep'))
  assert row.split() == (
    'el2n_step_60_keep_max_60 60 50.0 % 95.20 ± 0.20 % 3 +5.00 -0.20'.split()
  )


def test_the_table_of_an_unfinished_workdir_says_what_is_missing(
  tmp_path, dataset
):
  workdir = artifacts.Workdir.at(tmp_path)
  synthetic.write_description(workdir, dataset)
  table = format_table(build_summary(load_results(workdir)))
  assert table.startswith('No accuracies yet.')
  assert 'Nothing was scored yet.' in table


def test_what_leaves_nothing_out_is_no_smaller_subset(workdir, dataset):
  for name in ('el2n_step_60_keep_max_36', 'el2n_step_60_keep_max_60'):
    _change_runs(workdir, f'retrain/{name}', test_accuracy=0.5)
  for name, num in (('rs2_60', 60), ('infobatch_120', 120)):
    seen = {'policy': name.split('_')[0], 'changes': True}
    synthetic.write_run(workdir, dataset, f'retrain/{name}', 0, 0.99, num, seen)
  synthetic.write_random(workdir, dataset, 120)
  _change_runs(workdir, 'retrain/random_120', test_accuracy=0.99)
  summary = build_summary(load_results(workdir))
  assert _by_name(summary)['rs2_60']['minus_full'] > 0
  assert summary['smallest_equal'] is None


@pytest.mark.parametrize('value', [None, float('nan')])
def test_what_is_not_known_is_a_dash(value):
  assert percent(value) == '-'


def test_what_is_worse_than_random_is_said_with_its_size(workdir):
  assert build_summary(load_results(workdir))['worse_than_random'] == []
  name = 'el2n_step_60_keep_max_60'
  _change_runs(workdir, f'retrain/{name}', test_accuracy=0.594)
  summary = build_summary(load_results(workdir))
  (sentence,) = summary['worse_than_random']
  assert sentence == (
    f'{name} is 30.80 points worse than as many random examples (59.40 % '
    'against 90.20 %, 3 runs each): do not prune this data this way.'
  )
  assert sentence in format_table(summary)


def test_what_is_worse_by_less_than_runs_differ_may_be_chance(workdir):
  name = 'el2n_step_60_keep_max_60'
  folder = workdir.run(f'retrain/{name}', 0)
  manifest = artifacts.read_manifest(folder)
  manifest['test_accuracy'] = 0.5
  artifacts.write_manifest(folder, manifest)
  (sentence,) = build_summary(load_results(workdir))['worse_than_random']
  assert 'points worse than as many random examples' in sentence
  assert sentence.endswith(
    ', 3 runs each): which may be chance, as runs differ by as much; train '
    'more to tell.'
  )


def _forget_selections(workdir, group: str) -> None:
  """Takes from manifests what their runs trained on."""
  for run in range(synthetic.NUM_RUNS):
    folder = workdir.run(group, run)
    manifest = artifacts.read_manifest(folder)
    del manifest['selection']
    artifacts.write_manifest(folder, manifest)


def test_names_say_nothing_of_what_was_trained_on(workdir, dataset):
  seen = {'policy': 'ccs', 'options': {'beta': 0.1}, 'changes': False}
  for run in range(synthetic.NUM_RUNS):
    for name in ('full_of_hope', 'random_walk'):
      group = f'retrain/{name}'
      synthetic.write_run(workdir, dataset, group, run, 0.9, 60, seen)
  rows = _by_name(build_summary(load_results(workdir)))
  for name in ('full_of_hope', 'random_walk'):
    assert rows[name]['policy'] == 'ccs'
    assert run_charts.series_name(rows[name]) == 'ccs, beta 0.1'
    _forget_selections(workdir, f'retrain/{name}')
  summary = build_summary(load_results(workdir))
  row = _by_name(summary)['random_walk']
  assert (row['policy'], row['minus_random']) == (None, None)
  assert 'full_of_hope, random_walk nothing says' in ' '.join(
    summary['missing']
  )


def test_a_retraining_on_all_examples_is_the_full_data(workdir, dataset):
  for run in range(synthetic.NUM_RUNS):
    synthetic.write_run(workdir, dataset, 'retrain/all', run, 0.8)
  row = _by_name(build_summary(load_results(workdir)))[FULL]
  assert row['mean_accuracy'] == pytest.approx(0.802)
  assert (row['policy'], row['num_kept']) == (None, dataset.train.num_examples)
