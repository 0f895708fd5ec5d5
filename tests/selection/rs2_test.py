"""Tests RS2: a random subset each epoch, in turns."""

import itertools

import numpy as np
import pytest

from datadiet.feeding import order
from datadiet.selection.rs2 import RandomEachEpoch

PINNED = [[0, 2, 5, 8], [3, 6, 9, 7], [1, 9, 4, 0]]


def _subsets(index, size, num, run=1):
  epochs = RandomEachEpoch(index, seed=3, run=run, num_kept=size)
  return [epochs.epoch(number, 0, None)[0] for number in range(num)]


@pytest.mark.parametrize('size', [1, 7, 15, 30, 49, 50])
def test_all_have_a_turn_before_the_next_turn(size):
  index = np.arange(100, 150)
  taken = _subsets(index, size, 200)
  for subset in taken:
    assert len(subset) == len(set(subset.tolist())) == size
  # Within an epoch the order is shuffled, so turns are told by whole epochs.
  for num in range(1, 200):
    _, times = np.unique(np.concatenate(taken[:num]), return_counts=True)
    num_turns = num * size // 50
    assert times.max() <= num_turns + 1
    assert len(times) == 50 or num_turns == 0
    assert times.min() >= num_turns or num_turns == 0
  others = _subsets(index, size, 200, run=2)
  assert (np.concatenate(taken) != np.concatenate(others)).any()


def test_subsets_are_drawn_evenly():
  taken = _subsets(np.arange(10), 3, 4000)
  together = sum({0, 1} <= set(subset.tolist()) for subset in taken)
  # Of 45 pairs a subset of three has three: 267 expected, sd below 16.
  assert abs(together - 4000 * 3 / 45) < 80


@pytest.mark.parametrize('number', [0, 1, 4, 9])
def test_an_epoch_is_the_same_whichever_were_asked_for_before(number):
  index = np.arange(50)
  expected = _subsets(index, 17, 12)
  epochs = RandomEachEpoch(index, seed=3, run=1, num_kept=17)
  for asked in (number, 11, number, 2, number):
    found, weights = epochs.epoch(asked, 0, None)
    np.testing.assert_array_equal(found, expected[asked])
    assert weights is None


@pytest.mark.parametrize('first_step', [1, 2, 3, 7, 29])
def test_any_step_can_be_the_first(first_step):
  def take(num, first_step=0):
    epochs = RandomEachEpoch(np.arange(50), seed=0, run=0, num_kept=17)
    batches = order.batches(epochs, batch_size=8, first_step=first_step)
    return np.stack(list(itertools.islice(batches, num)))

  np.testing.assert_array_equal(
    take(9, first_step), take(first_step + 9)[first_step:]
  )
  two_epochs = take(4)  # Two batches of eight each.
  assert len(set(two_epochs.ravel().tolist())) == 32


def test_epochs_are_pinned():
  """Resumed runs depend on them: never change them."""
  taken = _subsets(np.arange(10), 4, 3)
  assert [subset.tolist() for subset in taken] == PINNED
