"""Tests of how suspicious labels are made of several pieces of evidence."""

import numpy as np

from datadiet import audit
from datadiet.audit.suspicion import percentile_ranks


def test_ranks_are_shares_and_ties_share_theirs():
  ranks = percentile_ranks(np.array([5.0, -1.0, 5.0, 9.0]))
  np.testing.assert_allclose(ranks, [0.5, 0.125, 0.5, 0.875])


def test_ranks_do_not_depend_on_the_scale():
  values = np.random.default_rng(0).normal(size=100)
  ranks = percentile_ranks(values)
  np.testing.assert_array_equal(ranks, percentile_ranks(np.exp(values)))
  np.testing.assert_allclose(ranks.mean(), 0.5)
  assert 0 < ranks.min() < ranks.max() < 1


def test_suspicion_is_the_mean_of_ranks():
  first = np.array([1.0, 2.0, 3.0, 4.0])
  second = np.array([400.0, 100.0, 200.0, 300.0])
  found = audit.suspicion([first, second])
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, [0.5, 0.25, 0.5, 0.75])


def test_two_noisy_pieces_are_better_than_one():
  rng = np.random.default_rng(0)
  wrong = rng.random(4000) < 0.1
  pieces = [2.0 * wrong + rng.normal(size=4000) for _ in range(2)]

  def share_found(suspicion):
    return wrong[np.argsort(-suspicion)[: wrong.sum()]].mean()

  alone = [share_found(audit.suspicion([piece])) for piece in pieces]
  assert share_found(audit.suspicion(pieces)) > max(alone) + 0.05


def test_the_most_suspicious_among_candidates():
  suspicion = np.array([0.5, 0.9, 0.5, 0.1], np.float32)
  everything = np.ones(4, bool)
  found = audit.most_suspicious(suspicion, 2, everything)
  assert found.tolist() == [True, True, False, False]
  found = audit.most_suspicious(suspicion, 2, suspicion < 0.9)
  assert found.tolist() == [True, False, True, False]
  found = audit.most_suspicious(suspicion, 9, suspicion < 0.5)
  assert found.tolist() == [False, False, False, True]
  assert not audit.most_suspicious(suspicion, 0, everything).any()
