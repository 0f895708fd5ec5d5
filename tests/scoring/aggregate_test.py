"""Tests of the mean over runs, and of what is refused."""

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.scoring import aggregate

_NAN = np.nan


def test_mean_and_spread_are_those_of_numpy():
  runs = np.random.default_rng(0).standard_normal((5, 100)).astype(np.float32)
  found = aggregate.mean_and_spread(list(runs), name='el2n')
  np.testing.assert_allclose(found['mean'], runs.mean(0), rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(found['std'], runs.std(0, ddof=1), rtol=1e-5)
  np.testing.assert_allclose(
    found['stderr'], runs.std(0, ddof=1) / np.sqrt(5), rtol=1e-5
  )
  assert {array.dtype for array in found.values()} == {
    np.dtype(np.float32),
    np.dtype(np.int32),
  }


def test_runs_that_did_not_see_an_example_are_left_out():
  runs = [
    np.array([1.0, _NAN, 3.0], np.float32),
    np.array([3.0, 5.0, _NAN], np.float32),
    np.array([5.0, 7.0, _NAN], np.float32),
  ]
  found = aggregate.mean_and_spread(runs, name='forgetting')
  np.testing.assert_array_equal(found['mean'], [3.0, 6.0, 3.0])
  np.testing.assert_allclose(found['std'], [2.0, np.sqrt(2.0), 0.0])
  np.testing.assert_array_equal(found['num_runs'], [3, 2, 1])


def test_one_run_has_no_spread():
  found = aggregate.mean_and_spread([np.ones(3, np.float32)], name='el2n')
  np.testing.assert_array_equal(found['std'], np.zeros(3))


def test_an_example_that_no_run_saw_is_named():
  runs = [np.array([1.0, _NAN], np.float32)] * 2
  with pytest.raises(
    DataDietError, match='^aum: example_index 1 has a score in'
  ):
    aggregate.mean_and_spread(runs, name='aum')


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_named(bad):
  scores = np.array([0.0, bad, bad], np.float32)
  with pytest.raises(DataDietError) as caught:
    aggregate.check_finite(scores, name='el2n', where='run 3 at step 44')
  assert str(caught.value).startswith(
    f'run 3 at step 44: el2n of example_index 1 is {bad} (2 such examples)'
  )


def test_finite_scores_pass():
  aggregate.check_finite(np.zeros(3, np.float32), name='el2n', where='here')


def test_rank_stability_is_that_of_disjoint_halves():
  rng = np.random.default_rng(0)
  truth = rng.normal(size=4000)
  runs = [(truth + rng.normal(size=4000)).astype(np.float32) for _ in range(4)]
  found = aggregate.rank_stability(runs)
  assert set(map(int, found)) == {1, 2}
  # Correlations of normal variables with noise of variance 1 and 1 / 2.
  for k, correlation in {1: 1 / 2, 2: 2 / 3}.items():
    spearman = 6 / np.pi * np.arcsin(correlation / 2)
    value = {int(key): value for key, value in found.items()}[k]
    assert abs(value - spearman) < 0.03
  assert aggregate.rank_stability(runs) == found
  assert aggregate.rank_stability(runs[:1]) == {}


def test_values_of_several_columns_are_named_by_their_example():
  probs = np.zeros((5, 4), np.float32)
  probs[[2, 3], 1:] = np.nan
  with pytest.raises(DataDietError, match='example_index 2 is nan .2 such'):
    aggregate.check_finite(probs, name='the prediction', where='here')
