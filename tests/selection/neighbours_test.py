"""Tests Cal, D2 and InfoMax by their definitions."""

import itertools

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.selection import select_examples
from datadiet.selection.neighbours import capped_shares
from tests.selection.embedded import make_inputs


def _neighbours(rows, number):
  """Positions and distances of the nearest others, [N, number] each."""
  apart = np.linalg.norm(rows[:, None] - rows, axis=2)
  np.fill_diagonal(apart, np.inf)
  nearest = np.argsort(apart, axis=1, kind='stable')[:, :number]
  return nearest, np.take_along_axis(apart, nearest, 1)


def test_cal_keeps_what_differs_from_its_neighbours():
  inputs = make_inputs(0)
  probs = inputs.pred_probs.astype(float)
  nearest, _ = _neighbours(inputs.features.astype(float), 4)
  divergence = [
    np.mean(
      [(probs[j] * np.log(probs[j] / probs[i])).sum() for j in nearest[i]]
    )
    for i in range(40)
  ]
  options = {'num_neighbours': 4}
  for num_keep in (1, 15):
    kept = select_examples('cal', inputs, num_keep, options=options)
    assert kept.tolist() == sorted(np.argsort(divergence)[::-1][:num_keep])


def _slow_d2(inputs, num_keep, number, forward, backward):
  scores = inputs.scores.astype(float)
  if inputs.higher_is == 'easier':
    scores = -scores
  values = (scores - scores.min()) / (scores.max() - scores.min())
  nearest, apart = _neighbours(inputs.features.astype(float), number)
  edges = {}
  for i in range(len(values)):
    for j, distance in zip(nearest[i], apart[i]):
      edges[i, int(j)] = edges[int(j), i] = distance**2
  passed = values.copy()
  for (i, j), square in edges.items():
    passed[i] += np.exp(-forward * square) * values[j]
  kept = []
  while len(kept) < num_keep:
    left = passed.copy()
    left[kept] = -np.inf
    best = int(left.argmax())
    kept.append(best)
    for (i, j), square in edges.items():
      if i == best and j not in kept:
        passed[j] -= np.exp(-backward * square) * passed[best]
  return sorted(kept)


@pytest.mark.parametrize('higher_is', ['harder', 'easier'])
def test_d2_passes_importance_over_the_graph(higher_is):
  inputs = make_inputs(1, higher_is=higher_is)
  options = {'num_neighbours': 3, 'forward_gamma': 0.4, 'backward_gamma': 0.2}
  for num_keep in (1, 12, 40):
    kept = select_examples('d2', inputs, num_keep, options=options)
    assert kept.tolist() == _slow_d2(inputs, num_keep, 3, 0.4, 0.2)


def test_d2_with_far_examples_ranks_by_the_score():
  inputs = make_inputs(2)
  options = {'forward_gamma': 1e6, 'backward_gamma': 1e6}
  kept = select_examples('d2', inputs, 9, options=options)
  assert kept.tolist() == sorted(np.argsort(-inputs.scores)[:9])


def _importance_and_likeness(inputs, number):
  """float64[N], and float64[N, N] of the nearest others, by definition."""
  scores = inputs.scores.astype(float)
  values = (scores - scores.min()) / (scores.max() - scores.min())
  rows = inputs.features.astype(float)
  rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
  nearest, _ = _neighbours(rows, number)
  similar = np.zeros((len(rows), len(rows)))
  for i in range(len(rows)):
    for j in nearest[i]:
      similar[i, j] = similar[j, i] = max(rows[i] @ rows[j], 0)
  return values, similar


def _objective(inputs, kept, number, weight):
  values, similar = _importance_and_likeness(inputs, number)
  chosen = np.isin(np.arange(len(values)), kept)
  gradient = values - 2 * weight * similar @ chosen
  return values @ chosen - weight * chosen @ similar @ chosen, gradient


def greedy_infomax(inputs, num_keep, number, weight):
  """Adds what gains most of the objective, again and again."""
  values, similar = _importance_and_likeness(inputs, number)
  gains, kept = values.copy(), []
  while len(kept) < num_keep:
    best = int(gains.argmax())
    kept.append(best)
    gains[best] = -np.inf
    gains -= 2 * weight * similar[best]
  return kept


def test_infomax_weighs_scores_against_redundancy():
  options = {'num_neighbours': 4, 'redundancy_weight': 0.5}
  for seed in range(4):
    inputs = make_inputs(seed)
    kept = select_examples('infomax', inputs, 12, options=options)
    value, gradient = _objective(inputs, kept, 4, 0.5)
    # Near a best set: better than the highest scores, and than all of many
    # random sets.
    hardest = np.argsort(-inputs.scores)[:12]
    assert value > _objective(inputs, hardest, 4, 0.5)[0]
    rng = np.random.default_rng(seed)
    for _ in range(200):
      drawn = rng.choice(40, 12, replace=False)
      assert value > _objective(inputs, drawn, 4, 0.5)[0]
    assert gradient[kept].mean() > np.delete(gradient, kept).mean()


@pytest.mark.slow
@pytest.mark.parametrize('weight', [0.3, 0.5])
def test_infomax_is_near_the_best_of_all_subsets(weight):
  """Without a bound on x it reached 0.4 of the best at a weight of 0.5."""
  options = {'num_neighbours': 4, 'redundancy_weight': weight}
  shares = []
  for seed in range(8):
    inputs = make_inputs(seed, num_examples=14)
    kept = select_examples('infomax', inputs, 5, options=options)
    best = max(
      _objective(inputs, list(subset), 4, weight)[0]
      for subset in itertools.combinations(range(14), 5)
    )
    shares.append(_objective(inputs, kept, 4, weight)[0] / best)
  assert min(shares) > 0.85 and np.mean(shares) > 0.97


@pytest.mark.parametrize('total', [1, 5, 19, 20])
def test_shares_are_bounded_and_sum_to_what_is_kept(total):
  for spread in (0.0, 1.0, 30.0):
    logits = np.random.default_rng(total).normal(size=20) * spread
    shares = np.exp(capped_shares(logits, total))
    assert shares.sum() == pytest.approx(total) and shares.max() <= 1
    # Those below 1 are all the same multiple of exp(logits).
    below = shares < 1 - 1e-9
    factors = np.log(shares[below]) - logits[below]
    assert not below.any() or np.ptp(factors) < 1e-6
    assert (np.diff(shares[np.argsort(logits)]) >= -1e-12).all()


def test_without_redundancy_the_highest_scores_stay():
  inputs = make_inputs(4, higher_is='easier')
  options = {'redundancy_weight': 0.0}
  kept = select_examples('infomax', inputs, 12, options=options)
  assert kept.tolist() == sorted(np.argsort(inputs.scores)[:12])


@pytest.mark.parametrize('policy', ['cal', 'd2', 'infomax'])
def test_more_neighbours_than_examples_are_refused(policy):
  options = {'num_neighbours': 40}
  with pytest.raises(DataDietError, match='num_neighbours=40 others of each'):
    select_examples(policy, make_inputs(), 5, options=options)
  # Within a class there are fewer.
  with pytest.raises(DataDietError, match='in class 0'):
    select_examples(
      policy,
      make_inputs(),
      6,
      class_balanced=True,
      options={'num_neighbours': 30},
    )
