"""Tests of the comparison of scores."""

import numpy as np
import pytest

from benchmarks import agreement


def test_equal_scores_agree():
  scores = np.random.default_rng(0).random(100).astype(np.float32)
  found = agreement.compare(scores, scores)
  assert found == {
    'spearman': pytest.approx(1.0),
    'difference': 0.0,
    'shared_half': 1.0,
    'shared_tenth': 1.0,
  }


def test_opposite_scores_share_nothing():
  scores = np.arange(1.0, 101.0, dtype=np.float32)
  found = agreement.compare(scores, scores[::-1])
  assert found['spearman'] == pytest.approx(-1.0)
  assert found['shared_half'] == found['shared_tenth'] == 0.0
  assert found['difference'] == pytest.approx(99 / 50.5)
