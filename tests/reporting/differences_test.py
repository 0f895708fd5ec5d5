"""Tests differences of accuracies over runs: paired, unpaired, their tests."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from datadiet.reporting.differences import Difference, compare, holm

# So many that testing itself has next to no variance.
_MANY = 10**12
_FIRST = pd.Series([0.93, 0.95, 0.92])
_SECOND = pd.Series([0.9, 0.902, 0.904])


def test_runs_of_one_number_are_paired():
  # In another order, with a run more on either side.
  values = pd.Series([0.92, 0.93, 0.95, 0.1], index=[2, 0, 1, 7])
  others = pd.Series([0.9, 0.902, 0.904, 0.2], index=[0, 1, 2, 8])
  found = compare(values, others, _MANY)
  test = stats.ttest_rel(_FIRST, _SECOND)
  low, high = test.confidence_interval()
  assert found.is_paired is True
  assert found.mean == pytest.approx(np.mean(_FIRST - _SECOND))
  assert found.interval == pytest.approx((high - low) / 2)
  assert found.p_value == pytest.approx(test.pvalue)


def test_runs_of_other_numbers_are_not():
  others = pd.Series([0.9, 0.902, 0.904, 0.93], index=[10, 11, 12, 13])
  found = compare(_FIRST, others, _MANY)
  test = stats.ttest_ind(_FIRST, others, equal_var=False)
  low, high = test.confidence_interval()
  assert found.is_paired is False
  assert found.mean == pytest.approx(_FIRST.mean() - others.mean())
  assert found.interval == pytest.approx((high - low) / 2)
  assert found.p_value == pytest.approx(test.pvalue)


def test_two_runs_that_agree_by_chance_prove_nothing():
  found = compare(pd.Series([0.9, 0.91]), pd.Series([0.87, 0.88]), 10_000)
  assert found.mean == pytest.approx(0.03)
  assert found.p_value is None
  # 12.7 standard errors, of the variance of testing.
  variance = (0.905 * 0.095 + 0.875 * 0.125) / 10_000
  error = np.sqrt(variance / 2)
  expected = stats.t.ppf(0.975, 1) * error
  assert found.interval == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
  'num_tested, p_value', [(40, 0.3133), (1_000, 0.0176), (10_000, 0.001785)]
)
def test_no_variance_is_less_than_that_of_testing(num_tested, p_value):
  found = compare(_SECOND + 0.05, _SECOND, num_tested)
  assert found.p_value == pytest.approx(p_value, rel=0.003)
  # The same by hand, without Laplace's rule.
  variance = (0.952 * 0.048 + 0.902 * 0.098) / num_tested
  t = 0.05 / np.sqrt(variance / 3)
  assert found.p_value == pytest.approx(2 * stats.t.sf(t, 2), rel=0.15)


def test_unpaired_runs_have_that_variance_too():
  others = pd.Series([0.9, 0.9, 0.9], index=[10, 11, 12])
  found = compare(pd.Series([0.95] * 3), others, 1_000)
  parts = [0.95 * 0.05 / 1_000 / 3, 0.9 * 0.1 / 1_000 / 3]
  freedom = sum(parts) ** 2 / (parts[0] ** 2 / 2 + parts[1] ** 2 / 2)
  expected = 2 * stats.t.sf(0.05 / np.sqrt(sum(parts)), freedom)
  assert found.p_value == pytest.approx(expected, rel=0.05)


def test_equal_accuracies_do_not_differ():
  found = compare(_FIRST, _FIRST, 1_000)
  assert (found.mean, found.p_value) == (0.0, 1.0)
  # All right: the variance of testing is not 0 either.
  right = pd.Series([1.0, 1.0, 1.0])
  assert compare(right, right, 1_000).p_value == 1.0


def test_what_cannot_be_told_is_left_open():
  assert compare(_FIRST, _FIRST[:0], 1_000) == Difference()
  one = compare(_FIRST, pd.Series([0.9]), 1_000)
  assert one == Difference(pytest.approx(0.03), is_paired=True)
  # Alike, tested on nobody knows how many.
  assert compare(_SECOND + 0.0, _SECOND, None).p_value is None


def test_holm_corrects_by_how_many_are_left():
  found = holm([0.03, None, 0.01, 0.04])
  assert found == [
    pytest.approx(0.06),
    None,
    pytest.approx(0.03),
    pytest.approx(0.06),
  ]
  assert holm([0.6, 0.7]) == [1.0, 1.0]
