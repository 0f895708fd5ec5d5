"""Tests of AUM's threshold samples."""

import numpy as np
import pytest

from datadiet import audit


def _draw(num_examples=1001, num_classes=10, seed=0):
  rng = np.random.default_rng(seed)
  return audit.draw_threshold_samples(num_examples, num_classes, rng)


def test_draws_are_disjoint_and_as_large_as_a_class():
  drawn = _draw()
  assert drawn.shape == (audit.NUM_DRAWS, 1001)
  assert drawn.sum(1).tolist() == [91, 91]  # 1001 // 11.
  assert drawn.sum(0).max() == 1
  np.testing.assert_array_equal(drawn, _draw())
  assert not np.array_equal(drawn, _draw(seed=1))


def test_draws_of_one_class_or_few_examples():
  assert _draw(10, 1).sum(1).tolist() == [5, 5]
  assert _draw(10, 100).sum(1).tolist() == [1, 1]


def test_every_example_is_judged_where_it_kept_its_label():
  rng = np.random.default_rng(0)
  drawn = _draw()
  wrong = rng.random(1001) < 0.1
  aum = np.stack([np.where(wrong, -2.0, 2.0)] * 2) + 0.1 * rng.normal(
    size=(2, 1001)
  )
  # Threshold samples look as wrong as wrong labels do, whatever they are.
  aum[drawn] = -1.0 - 30.0 * rng.random(drawn.sum()) ** 4
  over, thresholds = audit.margins_over_threshold(aum, drawn)
  np.testing.assert_array_equal(over <= 0, wrong)
  for margins, samples, threshold in zip(aum, drawn, thresholds, strict=True):
    assert (margins[samples] <= threshold).mean() == pytest.approx(
      0.99, abs=0.01
    )


def test_both_trainings_judge_what_neither_drew():
  drawn = np.zeros((2, 300), bool)
  drawn[0, :100] = drawn[1, 100:200] = True
  aum = np.zeros((2, 300))
  aum[0, 250], aum[1, 250] = -1.0, 3.0
  aum[0, 251], aum[1, 251] = np.nan, -3.0
  aum[:, 252] = np.nan
  over, thresholds = audit.margins_over_threshold(aum, drawn)
  np.testing.assert_array_equal(thresholds, 0.0)
  assert over[250] == 1.0
  assert over[251] == -3.0
  assert over[252] == np.inf
  assert not over[:250].any()
