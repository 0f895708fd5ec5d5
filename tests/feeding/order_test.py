"""Tests of the order of examples."""

import itertools

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.feeding import order
from datadiet.feeding.epochs import AllExamples


def _take(num, **changes):
  settings = {'seed': 0, 'run': 0, **changes}
  index = settings.pop('example_index', np.arange(100, 150))
  where = {'batch_size': settings.pop('batch_size', 8)}
  where['first_step'] = settings.pop('first_step', 0)
  batches = order.batches(AllExamples(index, **settings), **where)
  return np.stack(list(itertools.islice(batches, num)))


def test_each_epoch_visits_examples_once_and_drops_the_rest():
  batches = _take(12)  # Two epochs of six batches of eight out of fifty.
  assert batches.dtype == np.int32
  for epoch in (batches[:6], batches[6:]):
    assert len(set(epoch.ravel().tolist())) == 48
    assert set(epoch.ravel().tolist()) <= set(range(100, 150))
  assert (batches[:6] != batches[6:]).any()


@pytest.mark.parametrize('first_step', [1, 5, 6, 7, 29])
def test_any_step_can_be_the_first(first_step):
  np.testing.assert_array_equal(
    _take(9, first_step=first_step), _take(first_step + 9)[first_step:]
  )


def test_order_depends_on_seed_run_and_epoch_alone():
  np.testing.assert_array_equal(_take(6), _take(6))
  others = [_take(6), _take(6, seed=1), _take(6, run=1), _take(12)[6:]]
  assert len({other.tobytes() for other in others}) == 4


def test_every_position_is_as_likely():
  epochs = AllExamples(np.arange(5), seed=3, run=0)
  orders = np.stack([epochs.epoch(n, 0, None)[0] for n in range(2000)])
  for position in range(5):
    counts = np.bincount(orders[:, position], minlength=5)
    # Five standard deviations of a binomial of 2000 draws.
    assert np.abs(counts - 400).max() < 5 * np.sqrt(2000 * 0.2 * 0.8)


def test_order_is_pinned():
  """Published scores and resumed runs depend on it: never change it."""
  batch = _take(1, example_index=np.arange(10), batch_size=5, seed=7, run=2)
  assert batch.tolist() == [[2, 4, 1, 6, 0]]


def test_less_than_a_batch_is_refused():
  with pytest.raises(DataDietError, match='50 examples .* batch of 51'):
    _take(1, batch_size=51)


class _Odd(AllExamples):
  """Epochs of other lengths than they say, or with weights."""

  def epoch(self, number, first_step, losses):
    examples, _ = super().epoch(number, first_step, losses)
    weights = np.ones(len(examples)) if self.options['weights'] else None
    return examples[: self.options['num']], weights


@pytest.mark.parametrize(
  'num, weights, message',
  [(49, False, '0 has 49 examples;'), (50, True, 'has 50 examples with weig')],
)
def test_epochs_that_a_step_does_not_tell_are_refused(num, weights, message):
  epochs = _Odd(np.arange(50), seed=0, run=0, num=num, weights=weights)
  with pytest.raises(DataDietError, match=message):
    next(order.batches(epochs, batch_size=8))


@pytest.mark.parametrize('num_runs, fraction', [(4, 0.5), (10, 0.7), (3, 0.5)])
def test_held_out_subsets_leave_every_example_in_and_out(num_runs, fraction):
  assert order.enough_runs(num_runs, fraction)
  inside = order.held_out_subsets(2000, num_runs, fraction, seed=0)
  times = inside.sum(0)
  assert times.min() >= np.floor(fraction * num_runs)
  assert times.max() <= np.ceil(fraction * num_runs)
  assert 1 <= times.min() and times.max() <= num_runs - 1
  assert abs(inside.mean() - fraction) < 0.02
  again = order.held_out_subsets(2000, num_runs, fraction, seed=0)
  np.testing.assert_array_equal(inside, again)


@pytest.mark.parametrize('folds, repeats', [(2, 1), (5, 2), (10, 1)])
def test_folds_leave_every_example_out_once_a_repeat(folds, repeats):
  labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], 33))
  inside = order.fold_subsets(labels, folds * repeats, folds, seed=0)
  for first in range(0, folds * repeats, folds):
    left_out = ~inside[first : first + folds]
    np.testing.assert_array_equal(left_out.sum(0), 1)
    assert np.ptp(left_out.sum(1)) <= 1
    for label in range(3):
      assert np.ptp(left_out[:, labels == label].sum(1)) <= 1
  assert len({row.tobytes() for row in inside}) == len(inside)
  # A repeat depends on neither the number of repeats nor another's draw.
  fewer = order.fold_subsets(labels, folds, folds, seed=0)
  np.testing.assert_array_equal(fewer, inside[:folds])
  other = order.fold_subsets(labels, folds, folds, seed=1)
  assert (other != inside[:folds]).any()


def test_folds_are_pinned():
  """A resumed run must leave out what it left out before."""
  inside = order.fold_subsets(np.arange(8) % 2, 2, 2, seed=3)
  assert np.flatnonzero(~inside[0]).tolist() == [3, 4, 5, 6]


@pytest.mark.parametrize('num_runs, fraction', [(1, 0.5), (3, 0.9), (10, 0.05)])
def test_too_few_runs_are_known(num_runs, fraction):
  assert not order.enough_runs(num_runs, fraction)
