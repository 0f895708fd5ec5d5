"""Tests SeTa: its groups of losses, and the window that slides over them."""

import numpy as np
import pytest
from sklearn.cluster import KMeans

from datadiet.runtime.randomness import PRUNING_STREAM, generator
from datadiet.selection.policies import check_policy
from datadiet.selection.seta import SeTa, loss_groups

INDEX = np.arange(10, 110)


def _epochs(**options):
  _, options = check_policy('seta', options)
  return SeTa(INDEX, seed=1, run=2, num_steps=80, **options)


def _epoch(losses, number=3, first_step=0, **options):
  before = np.full(200, np.inf, np.float32)
  before[INDEX] = losses
  return _epochs(**options).epoch(number, first_step, before)[0]


def _gamma(seed, num=100):
  return np.random.default_rng(seed).gamma(1.0, size=num).astype(np.float32)


def _groups_slowly(losses, num_groups):
  """Lloyd's iterations, example by example, from groups of equal size."""
  cuts = np.linspace(0, len(losses), num_groups + 1).round().astype(int)
  group = [int((cuts[1:] <= i).sum()) for i in range(len(losses))]
  while True:
    centres = [
      np.mean([one for one, g in zip(losses, group, strict=True) if g == k])
      for k in range(num_groups)
    ]
    nearest = [
      int(np.argmin([abs(one - centre) for centre in centres]))
      for one in losses
    ]
    if nearest == group:
      return group
    group = nearest


@pytest.mark.parametrize('num_groups', [1, 2, 5, 9])
@pytest.mark.parametrize('seed', range(4))
def test_groups_are_those_of_k_means(seed, num_groups):
  losses = np.sort(_gamma(seed)).astype(np.float64)
  edges = loss_groups(losses, num_groups)
  group = np.repeat(np.arange(num_groups), np.diff(edges))
  np.testing.assert_array_equal(group, _groups_slowly(losses, num_groups))
  # scikit-learn's stay where these are.
  centres = [[losses[group == k].mean()] for k in range(num_groups)]
  same = KMeans(num_groups, init=np.array(centres), n_init=1)
  found = same.fit(losses[:, None]).labels_
  np.testing.assert_array_equal(found, group)


@pytest.mark.parametrize(
  'losses, num_groups',
  [
    (np.zeros(7), 3),
    (np.array([0.0, 0, 0, 0, 0, 0, 5, 9]), 4),
    (np.array([1.0, 2.0]), 5),
  ],
)
def test_groups_of_equal_losses_cover_all(losses, num_groups):
  edges = loss_groups(losses, num_groups)
  assert edges[0] == 0 and edges[-1] == len(losses)
  assert (np.diff(edges) >= 0).all()
  assert len(edges) == min(num_groups, len(losses)) + 1


@pytest.mark.parametrize('number', range(1, 7))
def test_the_window_slides_from_easy_to_hard_and_again(number):
  losses = _gamma(number)
  order = _epoch(
    losses, number, prune_fraction=0.2, num_groups=5, window_fraction=0.6
  )
  rng = generator(1, 2, PRUNING_STREAM, number)
  drawn = sorted(rng.permutation(INDEX)[:80], key=lambda one: losses[one - 10])
  group = _groups_slowly([losses[one - 10] for one in drawn], 5)
  first = number % 3
  wanted = [
    one for one, g in zip(drawn, group, strict=True) if first <= g < first + 3
  ]
  assert sorted(order) == sorted(wanted)
  assert (order[:-1] > order[1:]).any()


@pytest.mark.parametrize(
  'number, first_step, losses',
  [(0, 0, _gamma(0)), (9, 70, _gamma(0)), (3, 0, np.full(100, np.inf))],
)
def test_the_first_epoch_and_the_last_part_are_drawn_at_random(
  number, first_step, losses
):
  order = _epoch(losses, number, first_step)
  drawn = generator(1, 2, PRUNING_STREAM, number).permutation(INDEX)[:90]
  assert sorted(order) == sorted(drawn)
  # A step earlier the window counts.
  assert number != 9 or len(_epoch(losses, 9, 69)) < 90


def test_what_was_never_visited_is_among_the_hardest():
  losses = np.linspace(0, 1, 100).astype(np.float32)
  losses[:10] = np.inf
  options = {'prune_fraction': 0.0, 'num_groups': 5, 'window_fraction': 0.2}
  assert set(INDEX[:10]) <= set(_epoch(losses, 4, **options))
  for number in (5, 6, 7, 8):
    assert not set(INDEX[:10]) & set(_epoch(losses, number, **options))


@pytest.mark.parametrize(
  'number, num_kept, hard', [(1, 25, set()), (2, 25, {10, 11}), (3, 98, set())]
)
def test_a_window_of_few_examples_is_widened(number, num_kept, hard):
  losses = np.zeros(100)
  losses[:2] = 5.0, 9.0  # All else is learned: groups of 98, 0 and 2.
  options = {'num_groups': 3, 'window_fraction': 0.3, 'prune_fraction': 0.0}
  order = _epoch(losses, number, least_fraction=0.25, **options)
  assert len(order) == len(set(order.tolist())) == num_kept
  assert {10, 11} & set(order.tolist()) == hard


def test_the_smallest_epoch_is_what_a_window_is_widened_to():
  options = _epochs(least_fraction=0.25, prune_fraction=0.9).options
  assert SeTa.smallest_epoch(100, **options) == 10
  assert SeTa.smallest_epoch(100, **{**options, 'prune_fraction': 0.1}) == 25
