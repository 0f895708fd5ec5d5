"""Tests OrderDP: what an epoch draws, and what it keeps of that."""

import numpy as np
import pytest

from datadiet.runtime.randomness import PRUNING_STREAM, generator
from datadiet.selection.orderdp import OrderDP
from datadiet.selection.policies import check_policy

INDEX = np.arange(10, 70)


def _epoch(losses, num_kept, number=3, **options):
  before = np.full(100, np.inf, np.float32)
  before[INDEX] = losses
  _, options = check_policy('orderdp', options)
  epochs = OrderDP(INDEX, seed=1, run=2, num_kept=num_kept, **options)
  return epochs.epoch(number, 0, before)


def _slowly(losses, num_drawn, num_kept, number):
  """The paper's two lines, example by example."""
  rng = generator(1, 2, PRUNING_STREAM, number)
  drawn = rng.permutation(INDEX).tolist()[:num_drawn]
  by_loss = sorted(drawn, key=lambda one: -losses[one - 10])
  return sorted(by_loss[:num_kept])


@pytest.mark.parametrize('number', [0, 1, 7])
@pytest.mark.parametrize(
  'draw_fraction, num_kept, num_drawn',
  [(0.8, 18, 48), (0.5, 30, 30), (0.5, 45, 45), (1.0, 6, 60), (0.25, 1, 15)],
)
def test_the_largest_losses_of_a_draw_are_kept(
  draw_fraction, num_kept, num_drawn, number
):
  rng = np.random.default_rng(number)
  losses = rng.gamma(1.0, size=60).astype(np.float32)
  losses[rng.integers(0, 60, 5)] = np.inf  # Never visited.
  order, weights = _epoch(losses, num_kept, number, draw_fraction=draw_fraction)
  assert sorted(order) == _slowly(losses, num_drawn, num_kept, number)
  assert weights is None


def test_each_rank_is_drawn_as_often_as_the_paper_says():
  """The probability that the j-th largest of n is in the top q of s drawn."""
  losses = np.arange(60, 0, -1).astype(np.float32)
  times = np.zeros(60)
  for number in range(2000):
    order, _ = _epoch(losses, 10, number, draw_fraction=0.5)
    times[order - 10] += 1
  # Of the j - 1 larger ones fewer than q may be drawn.
  wanted = [
    0.5 * sum(_hypergeometric(59, rank, 29, larger) for larger in range(10))
    for rank in range(60)
  ]
  np.testing.assert_allclose(times / 2000, wanted, atol=0.05)


def _hypergeometric(num, marked, drawn, found):
  from math import comb

  return (
    comb(marked, found) * comb(num - marked, drawn - found) / comb(num, drawn)
  )


def test_losses_that_are_equal_are_broken_by_chance():
  taken = [_epoch(np.ones(60), 20, number)[0] for number in range(60)]
  _, times = np.unique(np.concatenate(taken), return_counts=True)
  assert len(times) == 60
  assert times.max() < 40  # 20 expected, sd below 4.
  assert any((one[:-1] > one[1:]).any() for one in taken)
