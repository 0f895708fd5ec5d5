"""Tests ccs and beta, which sample over the range of difficulty."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from datadiet.errors import DataDietError
from datadiet.selection import SelectionInputs, coverage, select_examples


def _inputs(scores, higher_is='harder', mean_confidence=None):
  scores = np.asarray(scores, np.float32)
  return SelectionInputs(
    np.zeros(len(scores), np.int32),
    1,
    scores,
    higher_is,
    mean_confidence=mean_confidence,
  )


def _slow_ccs_strata(inputs, cutoff_fraction, num_strata):
  """The members of each stratum after the cut, by plain loops."""
  sign = -1 if inputs.higher_is == 'harder' else 1
  order = sorted(
    range(len(inputs.scores)), key=lambda i: (sign * inputs.scores[i], i)
  )
  candidates = order[round(cutoff_fraction * len(order)) :]
  values = [float(inputs.scores[i]) for i in candidates]
  lowest, highest = min(values), max(values)
  strata = [[] for _ in range(num_strata)]
  for index, value in zip(candidates, values, strict=True):
    for number in range(num_strata):
      # Scores and bounds are multiples of a power of two: exact.
      upper = lowest + (highest - lowest) * (number + 1) / num_strata
      if value < upper or number == num_strata - 1:
        strata[number].append(index)
        break
  return strata


def _slow_budgets(sizes, num_keep):
  """Algorithm 1 of Zheng et al. 2023, word for word."""
  remaining = dict(enumerate(sizes))
  budgets = {}
  while remaining:
    smallest = min(remaining, key=lambda number: (remaining[number], number))
    budgets[smallest] = min(remaining[smallest], num_keep // len(remaining))
    num_keep -= budgets[smallest]
    del remaining[smallest]
  return budgets


@pytest.mark.parametrize('higher_is', ['harder', 'easier'])
@pytest.mark.parametrize('shift', [0, -40])
@pytest.mark.parametrize('num_keep', [5, 40, 100, 150])
def test_ccs_keeps_the_paper_s_number_of_each_stratum(
  higher_is, shift, num_keep
):
  rng = np.random.default_rng(num_keep)
  # Skewed, with many ties, of either sign.
  scores = np.minimum(rng.geometric(0.15, 200), 32) / 2 + shift
  inputs = _inputs(scores, higher_is)
  options = {'cutoff_fraction': 0.2, 'num_strata': 8}
  kept = select_examples('ccs', inputs, num_keep, options=options, seed=1)
  assert len(set(kept.tolist())) == num_keep
  strata = _slow_ccs_strata(inputs, 0.2, 8)
  budgets = _slow_budgets([len(members) for members in strata], num_keep)
  for number, members in enumerate(strata):
    assert len(set(members) & set(kept.tolist())) == budgets[number]


def test_ccs_keeps_the_top_of_scores_that_are_all_negative():
  # Here public code that widens the range by max * 1.0001 loses the maximum.
  scores = -np.arange(1, 101, dtype=np.float32)
  kept = select_examples(
    'ccs', _inputs(scores), 100, options={'cutoff_fraction': 0.0}
  )
  assert kept.tolist() == list(range(100))


def test_ccs_draws_evenly_within_a_stratum():
  inputs = _inputs([0.0] * 4 + [1.0] * 12)
  counts = np.zeros(16)
  for seed in range(1000):
    options = {'cutoff_fraction': 0.0, 'num_strata': 2}
    counts[select_examples('ccs', inputs, 6, options=options, seed=seed)] += 1
  np.testing.assert_allclose(counts[:4], 750, atol=5 * math.sqrt(1000 / 4))
  np.testing.assert_allclose(counts[4:], 250, atol=5 * math.sqrt(1000 / 4))


def test_ccs_of_equal_scores_keeps_as_many_as_asked():
  kept = select_examples('ccs', _inputs(np.ones(50)), 20)
  assert len(kept) == 20
  # All tie, so the cut takes the lowest indices, the first in order.
  assert kept.min() >= 5


def test_ccs_refuses_more_than_the_cut_leaves():
  with pytest.raises(DataDietError, match='of 50 examples leaves 45'):
    select_examples('ccs', _inputs(np.arange(50)), 46)


def test_ccs_budgets_always_add_up():
  rng = np.random.default_rng(0)
  for _ in range(200):
    sizes = rng.integers(0, 30, rng.integers(1, 12))
    if not sizes.sum():
      continue
    num_keep = int(rng.integers(1, sizes.sum() + 1))
    budgets = coverage.stratum_budgets(sizes, num_keep)
    assert budgets.sum() == num_keep
    assert (budgets <= sizes).all()


def test_beta_parameters_move_the_mean_from_the_anchor_to_easy():
  alpha, beta = coverage.beta_parameters(0.4, 0.0, 4.0)
  assert alpha / (alpha + beta) == pytest.approx(0.4)
  alpha, beta = coverage.beta_parameters(0.4, 0.7, 4.0)
  assert beta == pytest.approx(15 * 0.6 * (1 - 0.7**4))
  assert alpha == pytest.approx(15 - beta)
  means = []
  for pruned in (0.3, 0.5, 0.7, 0.9, 0.99):
    alpha, beta = coverage.beta_parameters(0.4, pruned, 4.0)
    means.append(alpha / (alpha + beta))
  assert means == sorted(means)
  assert means[-1] > 0.95


def _slow_inclusion(weights, num_keep):
  """Chance of each to be among num_keep drawn one after the other."""
  chances = np.zeros(len(weights))
  for draw in itertools.permutations(range(len(weights)), num_keep):
    chance, left = 1.0, sum(weights)
    for index in draw:
      chance *= weights[index] / left
      left -= weights[index]
    chances[list(draw)] += chance
  return chances


def test_beta_draws_by_score_times_density():
  scores = np.array([0.1, 0.3, 0.3, 0.05, 0.2], np.float32)
  confidence = np.array([0.9, 0.5, 0.7, 0.95, 0.3], np.float32)
  inputs = _inputs(scores, mean_confidence=confidence)
  alpha, beta = coverage.beta_parameters(
    float(confidence.astype(np.float64).mean()), 1 - 2 / 5, 4.0
  )
  weights = scores * stats.beta.pdf(confidence, alpha, beta)
  expected = _slow_inclusion(weights.tolist(), 2)
  assert expected.max() - expected.min() > 0.2
  counts = np.zeros(5)
  for seed in range(4000):
    counts[select_examples('beta', inputs, 2, seed=seed)] += 1
  np.testing.assert_allclose(counts / 4000, expected, atol=0.04)


def test_beta_anchors_on_the_ten_highest_scores():
  scores = np.arange(30, dtype=np.float32)
  confidence = np.linspace(0.95, 0.05, 30).astype(np.float32)
  inputs = _inputs(scores, mean_confidence=confidence)
  # Little pruned: the density's mean is the anchors' 0.19, far from easy.
  rarely = np.zeros(30)
  for seed in range(300):
    rarely[select_examples('beta', inputs, 20, seed=seed)] += 1
  assert rarely[20:].min() > 290
  assert rarely[:5].max() < 60


def test_beta_takes_scores_of_zero_last_and_confidence_of_one():
  scores = np.array([0, 0, 0.5, 0.5, 0, 1], np.float32)
  confidence = np.array([1, 0, 1, 0, 0.5, 1], np.float32)
  inputs = _inputs(scores, mean_confidence=confidence)
  for seed in range(20):
    kept = select_examples('beta', inputs, 4, seed=seed).tolist()
    assert {2, 3, 5} < set(kept)
  assert len(select_examples('beta', inputs, 6)) == 6


def test_beta_refuses_what_it_cannot_weigh_by():
  confidence = np.full(4, 0.5, np.float32)
  scores = [0.1, -0.2, 0.3, 0.4]
  with pytest.raises(DataDietError, match='cannot be negative'):
    select_examples('beta', _inputs(scores, 'harder', confidence), 2)
  with pytest.raises(DataDietError, match="higher_is is 'easier'"):
    select_examples('beta', _inputs(np.ones(4), 'easier', confidence), 2)
  with pytest.raises(DataDietError, match="'beta' needs mean_confidence"):
    select_examples('beta', _inputs(np.ones(4)), 2)
  confidence[2] = 1.5
  with pytest.raises(DataDietError, match='example_index 2 is 1.5'):
    select_examples('beta', _inputs(np.ones(4), 'harder', confidence), 2)
