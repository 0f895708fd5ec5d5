"""Tests InfoBatch: what an epoch leaves out, and its weights."""

import numpy as np
import pytest

from datadiet.selection.infobatch import InfoBatch
from datadiet.selection.policies import check_policy


def _epoch(losses, is_full=False, number=3, **options):
  example_index = np.arange(10, 10 + len(losses))
  before = np.full(100, np.inf, np.float32)
  before[example_index] = losses
  _, options = check_policy('infobatch', options)
  epochs = InfoBatch(example_index, seed=1, run=2, num_steps=80, **options)
  # The last part begins with step 70.
  return epochs.epoch(number, 70 if is_full else 69, before)


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
  for number in range(3000):
    order, weights = _epoch(losses, number=number)
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
  for number in range(20):
    order, weights = _epoch(losses, number=number)
    assert {12, 13, 14} <= set(order.tolist())
    assert len(order) == 4
    assert sorted(weights.tolist()) == [1, 1, 1, 2]


def test_weights_of_mean_1_leave_the_length_of_steps_as_it_is():
  losses = np.random.default_rng(2).gamma(1.0, size=60).astype(np.float32)
  order, plain = _epoch(losses)
  same, scaled = _epoch(losses, same_rate=True)
  np.testing.assert_array_equal(order, same)
  assert plain.mean() > 1.2
  assert scaled.mean() == pytest.approx(1, rel=1e-6)
  np.testing.assert_allclose(scaled / scaled[0], plain / plain[0], rtol=1e-6)
