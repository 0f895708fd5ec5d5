"""Tests training by epochs that go by losses: InfoBatch, and others."""

import jax
import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.selection.infobatch import InfoBatch
from datadiet.selection.orderdp import OrderDP
from datadiet.selection.policies import check_policy
from datadiet.selection.seta import SeTa
from datadiet.training.trainer import Trainer
from datadiet.workdir import artifacts
from tests.training import small_runs
from tests.training.resume_test import train_until
from tests.training.small_runs import assert_same_outcome, outcome, train

# Epochs end at different steps in different runs: 64 examples, batches of 16.
OPTIONS = {'prune_fraction': 0.5, 'full_fraction': 0.25, 'same_rate': False}
PRUNED = {
  'epochs': InfoBatch,
  'options': OPTIONS,
  'uses_losses': True,
  'num_steps': 14,
}


def test_epochs_prune_and_the_last_part_does_not(tmp_path, monkeypatch):
  blocks, weights = [], []
  make_feed = Trainer.make_feed

  def recorded(self, indices, weight, *rest):
    blocks.extend(np.asarray(indices)[:, 0])
    weights.extend(np.asarray(weight)[:, 0])
    return make_feed(self, indices, weight, *rest)

  monkeypatch.setattr(Trainer, 'make_feed', recorded)
  train(tmp_path, **PRUNED)
  assert len(blocks) == 14
  # Four steps of everything, then fewer an epoch.
  assert len(set(np.concatenate(blocks[:4]).tolist())) == 64
  assert (np.array(weights[:4]) == 1).all()
  assert len(set(np.concatenate(blocks[4:8]).tolist())) < 64
  assert np.max(weights[4:8]) > 1.5
  assert (np.array(weights[-2:]) == 1).all()
  dynamics = artifacts.read_npz(
    tmp_path / 'run_00' / 'dynamics' / 'step_14.npz'
  )
  assert dynamics['visits'].max() > dynamics['visits'].min()


def test_weights_scale_the_gradient():
  trainer = Trainer(
    small_runs.small_dataset(),
    small_runs.small_plan(uses_losses=True, num_steps=14),
    small_runs.run_mesh(1, 1),
  )
  jobs = small_runs.small_jobs('', [0], small_runs.small_dataset())
  keys = trainer.step_keys(jobs)
  block = next(trainer.index_blocks(jobs, 0))
  moved = []
  for factor in (1.0, 2.0):
    state = trainer.init(jobs)
    before = jax.tree.map(np.array, state.params)
    weights = np.full(block.shape, factor, np.float32)
    feed = trainer.make_feed([block], [weights])
    after = trainer.run_steps(state, feed, keys, 1).params
    moved.append(jax.tree.map(lambda a, b: np.asarray(a) - b, after, before))
  # The biases of the last layer start at 0, where L2 adds nothing.
  small, large = (move['Dense_0']['bias'] for move in moved)
  np.testing.assert_allclose(large, 2 * small, rtol=1e-4)
  assert np.abs(small).max() > 0


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """What run 0 leaves when nothing happens to it."""
  folder = tmp_path_factory.mktemp('pruned')
  train(folder, **PRUNED)
  return outcome(folder / 'run_00', **PRUNED)


# In, at and after epochs, log points and checkpoints.
@pytest.mark.parametrize('step', [1, 4, 5, 6, 7, 9, 11, 13])
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(
  tmp_path, step, whole
):
  train_until(tmp_path, step, **PRUNED)
  train(tmp_path, **PRUNED)
  assert_same_outcome(tmp_path / 'run_00', whole, **PRUNED)


@pytest.mark.parametrize(
  'name, epochs, options',
  [
    ('orderdp', OrderDP, {'draw_fraction': 0.7, 'num_kept': 35}),
    ('seta', SeTa, {'window_fraction': 0.6, 'least_fraction': 0.3}),
  ],
)
def test_a_stopped_run_of_another_policy_goes_on_so_too(
  tmp_path, name, epochs, options
):
  size = {'num_kept': options.pop('num_kept', 0)}
  _, options = check_policy(name, options)
  settings = {
    'epochs': epochs,
    'options': options | size,
    'uses_losses': True,
    'num_steps': 14,
  }
  train(tmp_path / 'whole', **settings)
  expected = outcome(tmp_path / 'whole' / 'run_00', **settings)
  for step in (5, 9):
    train_until(tmp_path / 'stopped', step, **settings)
  train(tmp_path / 'stopped', **settings)
  assert_same_outcome(tmp_path / 'stopped' / 'run_00', expected, **settings)


def test_runs_side_by_side_equal_runs_alone(tmp_path, whole):
  train(tmp_path, (0, 1), slots=2, devices=2, **PRUNED)
  assert_same_outcome(tmp_path / 'run_00', whole, **PRUNED)
  train(tmp_path / 'alone', (1,), **PRUNED)
  alone = outcome(tmp_path / 'alone' / 'run_01', **PRUNED)
  assert_same_outcome(tmp_path / 'run_01', alone, **PRUNED)


def test_several_steps_a_call_stop_where_an_epoch_begins(tmp_path, whole):
  changes = {**PRUNED, 'steps_per_call': 4}
  train(tmp_path, **changes)
  found = outcome(tmp_path / 'run_00', **changes)
  rows = [
    [float(value or 'nan') for value in row.split(',')]
    for text in (found, whole)
    for row in text['history.csv'].decode().splitlines()[1:]
  ]
  half = len(rows) // 2
  np.testing.assert_allclose(rows[:half], rows[half:], rtol=1e-4)


def test_epochs_that_may_be_smaller_than_a_batch_are_refused(tmp_path):
  settings = {**PRUNED, 'options': {**OPTIONS, 'prune_fraction': 0.8}}
  with pytest.raises(DataDietError, match='a subset of 13 .* batch of 16'):
    train(tmp_path, **settings)
