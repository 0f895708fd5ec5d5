"""Tests of the retrain stage: what it trains on, and for how long."""

import json

import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet.data.sources.digits import load_digits
from datadiet.errors import DataDietError
from datadiet.reporting.summary import build_summary
from datadiet.results import load_results
from datadiet.stages import retrain, select
from datadiet.stages.context import Context
from datadiet.workdir import artifacts
from tests import running

_NAMES = ('full_1437', 'el2n_step_44_keep_max_719', 'random_719')


def _manifest(context, name, run):
  folder = context.workdir.run(f'retrain/{name}', run)
  return json.loads((folder / 'manifest.json').read_text())


def test_all_subsets_are_trained_for_as_many_steps(finished):
  for name in _NAMES:
    for run in (0, 1):
      manifest = _manifest(finished, name, run)
      assert manifest['num_steps'] == 22
      assert manifest['num_examples'] == int(name.rsplit('_', 1)[1])
      # No network that scored is trained again.
      assert manifest['run'] == 1000 + run


def test_only_the_subset_is_trained_on(finished):
  for name in _NAMES[1:]:
    for run in (0, 1):
      kept = np.load(
        finished.workdir.selection(name, run if 'random' in name else None)
        / 'example_index.npy'
      )
      folder = finished.workdir.run(f'retrain/{name}', run)
      dynamics = artifacts.read_npz(folder / 'dynamics' / 'step_22.npz')
      np.testing.assert_array_equal(dynamics['trained_on'], kept)
      outside = np.setdiff1d(np.arange(1437), kept)
      assert not dynamics['visits'][outside].any()
      # 11 steps an epoch: two epochs.
      assert dynamics['visits'][kept].sum() == 22 * 64
      assert dynamics['visits'].max() == 2


def test_full_data_is_trained_again_only_where_steps_differ(finished):
  assert retrain.needs_full(finished)
  config = config_lib.resolve(running.tiny_config(retrain__num_steps=44))
  same = Context(config, finished.workdir, finished.dataset)
  assert not retrain.needs_full(same)
  config = config_lib.resolve(running.tiny_config(retrain__full=False))
  assert not retrain.needs_full(
    Context(config, finished.workdir, finished.dataset)
  )


@pytest.mark.parametrize(
  'changes',
  [
    {'train__subset_fraction': 0.5, 'train__num_runs': 4},
    {'train__subset_path': 'subset.npy'},
  ],
)
def test_full_data_is_trained_where_scoring_runs_left_some_out(
  tmp_path, changes
):
  config = config_lib.resolve(
    running.tiny_config(retrain__num_steps=44, **changes)
  )
  workdir = artifacts.Workdir.at(tmp_path)
  assert retrain.needs_full(Context(config, workdir, load_digits(None)))


def test_plan_counts_what_is_done(finished):
  assert retrain.plan(finished) == '6 runs of 22 steps (6 done)'


@pytest.mark.parametrize(
  'example_index', [[0, 0, 1], [-1, 5], [0, 1437], [[0, 1]], [0.0, 1.0]]
)
def test_subsets_that_are_none_are_refused(own, example_index):
  folder = own.workdir.selection('el2n_step_44_keep_max_719')
  np.save(folder / 'example_index.npy', np.array(example_index))
  with pytest.raises(DataDietError, match='distinct integers from 0 to 1436'):
    retrain.jobs(own)


def test_subsets_that_change_while_training(own):
  config = running.tiny_config(
    select__policies=('keep_max', 'rs2', 'infobatch'),
    select__fractions=(0.5,),
    select__baselines=(),
    retrain__full=False,
  )
  context = Context(config_lib.resolve(config), own.workdir, own.dataset)
  select.run(context)
  assert not list(own.workdir.root.glob('selections/rs2*'))
  retrain.run(context)
  assert retrain.plan(context) == '6 runs of 22 steps (6 done)'
  for name, num_seen in (('rs2_719', 1408), ('infobatch_1437', 1408)):
    assert _manifest(own, name, 0)['num_examples'] == int(name.split('_')[1])
    folder = own.workdir.run(f'retrain/{name}', 0) / 'dynamics'
    visits = artifacts.read_npz(folder / 'step_22.npz')['visits']
    assert visits.sum() == 22 * 64
    # Two epochs of half the data, or one of all of it and its start again.
    assert (visits > 0).sum() >= num_seen - 64
  rows = build_summary(load_results(own.workdir))['accuracy']
  policies = {row['selection']: row['policy'] for row in rows}
  assert policies['rs2_719'] == 'rs2'
  assert policies['infobatch_1437'] == 'infobatch'
  # What they are compared with: random subsets of the same size.
  (rs2,) = [row for row in rows if row['selection'] == 'rs2_719']
  assert rs2['random_selection'] == 'random_719'
