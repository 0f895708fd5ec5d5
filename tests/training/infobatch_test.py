"""Tests InfoBatch: what an epoch leaves out, its weights, exact resumption."""

import jax
import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.training.infobatch import InfoBatchSettings, epoch_examples
from datadiet.training.trainer import Trainer
from datadiet.workdir import artifacts
from tests.training import small_runs
from tests.training.resume_test import train_until
from tests.training.small_runs import assert_same_outcome, outcome, train

# Epochs end at different steps in different runs: 64 examples, batches of 16.
PRUNED = {'infobatch': InfoBatchSettings(0.5, 0.25), 'num_steps': 14}


def _epoch(losses, is_full=False, epoch=3, **settings):
  example_index = np.arange(10, 10 + len(losses))
  epoch_loss = np.full(100, np.inf, np.float32)
  epoch_loss[example_index] = losses
  return epoch_examples(
    example_index,
    epoch_loss,
    InfoBatchSettings(**settings),
    is_full=is_full,
    seed=1,
    run=2,
    epoch=epoch,
  )


def test_a_share_of_the_easy_is_left_out_and_the_rest_weighted_up():
  rng = np.random.default_rng(0)
  losses = rng.gamma(1.0, size=60).astype(np.float32)
  order, weights = _epoch(losses, prune_fraction=0.3)
  easy = losses < losses.astype(np.float64).mean()
  kept = np.isin(np.arange(60), order - 10)
  assert kept[~easy].all()
  num_pruned = round(0.3 * easy.sum())
  assert (~kept).sum() == num_pruned > 5
  weight_of = dict(zip(order.tolist(), weights.tolist()))
  for i in np.flatnonzero(kept):
    expected = easy.sum() / (easy.sum() - num_pruned) if easy[i] else 1.0
    assert weight_of[10 + i] == pytest.approx(expected)
  # The weights make up for what is missing.
  assert weights.sum() == pytest.approx(60, rel=1e-6)
  assert (order[:-1] > order[1:]).any()


def test_weighted_losses_are_those_of_all_the_data_on_average():
  losses = np.random.default_rng(1).gamma(1.0, size=40).astype(np.float32)
  totals = []
  for epoch in range(3000):
    order, weights = _epoch(losses, epoch=epoch)
    totals.append((weights * losses[order - 10]).sum())
  error = np.std(totals) / np.sqrt(len(totals))
  assert abs(np.mean(totals) - losses.sum()) < 5 * error


@pytest.mark.parametrize(
  'losses, is_full',
  [(np.arange(8.0), True), (np.full(8, np.inf), False), (np.ones(8), False)],
)
def test_nothing_is_left_out_before_or_after_or_without_a_difference(
  losses, is_full
):
  order, weights = _epoch(losses, is_full)
  assert sorted(order.tolist()) == list(range(10, 18))
  assert (weights == 1).all()


def test_what_was_never_visited_is_kept():
  losses = np.array([0.1, 0.2, 5.0, np.inf, np.inf])
  for epoch in range(20):
    order, weights = _epoch(losses, epoch=epoch)
    assert {12, 13, 14} <= set(order.tolist())
    assert len(order) == 4
    assert sorted(weights.tolist()) == [1, 1, 1, 2]


def test_epochs_prune_and_the_last_part_does_not(tmp_path, monkeypatch):
  blocks, weights = [], []
  make_feed = Trainer.make_feed

  def recorded(self, indices, weight=()):
    blocks.extend(np.asarray(indices)[:, 0])
    weights.extend(np.asarray(weight)[:, 0])
    return make_feed(self, indices, weight)

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
    small_runs.small_settings(**PRUNED),
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
  settings = {**PRUNED, 'infobatch': InfoBatchSettings(0.8)}
  with pytest.raises(DataDietError, match='a subset of 13 .* batch of 16'):
    train(tmp_path, **settings)
