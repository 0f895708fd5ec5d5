"""Tests the policies that keep one stretch of the ordered scores."""

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.selection import SelectionInputs, select_examples


def _tied_inputs(seed, num_examples=60, higher_is='harder'):
  """Few distinct values, of both signs, so that most examples tie."""
  rng = np.random.default_rng(seed)
  scores = rng.integers(-3, 4, num_examples).astype(np.float32) / 4
  labels = rng.integers(0, 3, num_examples).astype(np.int32)
  return SelectionInputs(labels, 3, scores, higher_is)


def _slow(inputs, key, num_keep, skip=0):
  """Sorts pairs in plain Python; the example_index settles ties."""
  pairs = [(key(float(s)), index) for index, s in enumerate(inputs.scores)]
  return sorted(index for _, index in sorted(pairs)[skip : skip + num_keep])


@pytest.mark.parametrize(
  'policy, key',
  [
    ('keep_max', lambda s: -s),
    ('keep_min', lambda s: s),
    ('keep_max_abs', lambda s: -abs(s)),
    ('keep_min_abs', lambda s: abs(s)),
  ],
)
@pytest.mark.parametrize('higher_is', ['harder', 'easier', 'neither'])
def test_keeps_the_end_of_the_order_with_ties_by_index(policy, key, higher_is):
  for seed in range(5):
    inputs = _tied_inputs(seed, higher_is=higher_is)
    for num_keep in (1, 7, 30, 59, 60):
      kept = select_examples(policy, inputs, num_keep)
      assert kept.dtype == np.int64
      assert kept.tolist() == _slow(inputs, key, num_keep)


def test_among_equal_scores_the_lowest_indices_are_kept():
  inputs = SelectionInputs(np.zeros(6, np.int32), 1, np.ones(6, np.float32))
  for policy in ('keep_max', 'keep_min', 'keep_max_abs', 'keep_min_abs'):
    assert select_examples(policy, inputs, 3).tolist() == [0, 1, 2]


@pytest.mark.parametrize('offset', [0, 1, 13, 40])
def test_offset_keeps_what_follows_the_smallest(offset):
  for seed in range(5):
    inputs = _tied_inputs(seed)
    kept = select_examples('offset', inputs, 20, options={'offset': offset})
    assert kept.tolist() == _slow(inputs, lambda s: s, 20, skip=offset)


def test_offset_past_the_end_is_refused():
  inputs = _tied_inputs(0)
  with pytest.raises(DataDietError, match='at most 40 here'):
    select_examples('offset', inputs, 20, options={'offset': 41})


@pytest.mark.parametrize(
  'higher_is, key', [('harder', lambda s: -s), ('easier', lambda s: s)]
)
@pytest.mark.parametrize(
  'drop_fraction, num_dropped', [(0.0, 0), (0.1, 6), (0.29, 17), (0.5, 30)]
)
def test_top_window_drops_the_hardest_first(
  higher_is, key, drop_fraction, num_dropped
):
  for seed in range(5):
    inputs = _tied_inputs(seed, higher_is=higher_is)
    kept = select_examples(
      'top_window', inputs, 25, options={'drop_fraction': drop_fraction}
    )
    assert kept.tolist() == _slow(inputs, key, 25, skip=num_dropped)


def test_top_window_rounds_what_it_drops_to_the_nearest():
  scores = np.arange(100, dtype=np.float32)
  inputs = SelectionInputs(np.zeros(100, np.int32), 1, scores, 'harder')
  # 0.29 * 100 is 28.999... in floating point.
  kept = select_examples(
    'top_window', inputs, 1, options={'drop_fraction': 0.29}
  )
  assert kept.tolist() == [70]


def test_top_window_that_leaves_too_few_is_refused():
  with pytest.raises(DataDietError, match=r'60 examples leaves 54'):
    select_examples('top_window', _tied_inputs(0), 55)
