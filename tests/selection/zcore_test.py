"""Tests ZCore by its definition."""

import numpy as np

from datadiet.selection import SelectionInputs, select_examples
from datadiet.selection.zcore import plane_scores
from tests.selection.embedded import make_inputs


def _slow(plane, points, num_neighbours, exponent):
  scores = np.zeros(len(plane))
  for point in points:
    covering = np.abs(plane - point).sum(1).argmin()
    scores[covering] += 1
    apart = np.abs(plane - plane[covering]).sum(1)
    apart[covering] = np.inf
    nearest = np.argsort(apart, kind='stable')[:num_neighbours]
    if apart[nearest[0]] == 0:
      scores[nearest[0]] -= 1
    else:
      penalties = apart[nearest] ** -exponent
      scores[nearest] -= penalties / penalties.sum()
  return scores


def _slow_zcore(features, num_keep, rng, draws, num_neighbours, exponent):
  """The highest sums over the planes that are drawn, 256 points in each."""
  features = features.astype(float)
  scores = rng.uniform(size=len(features))
  low, high = features.min(0), features.max(0)
  middle = np.median(features, 0)
  num_left = draws * len(features)
  while num_left:
    axes = rng.choice(np.flatnonzero(low < high), 2, replace=False)
    num_points = min(256, num_left)
    num_left -= num_points
    points = rng.triangular(
      low[axes], middle[axes], high[axes], (num_points, 2)
    )
    scores += _slow(features[:, axes], points, num_neighbours, exponent)
  return sorted(np.argsort(-scores, kind='stable')[:num_keep].tolist())


def test_points_of_a_plane_add_coverage_and_take_redundancy():
  rng = np.random.default_rng(0)
  for num_neighbours in (1, 5, 29):
    plane, points = rng.normal(size=(30, 2)), rng.normal(size=(80, 2))
    found = plane_scores(plane, points, num_neighbours, 4.0)
    expected = _slow(plane, points, num_neighbours, 4.0)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    # A point is given and one is taken.
    assert abs(found.sum()) < 1e-9


def test_one_at_the_same_place_loses_the_whole_point():
  plane = np.array([[0.0, 0], [0, 0], [5, 5], [6, 5]])
  found = plane_scores(plane, np.array([[0.1, 0.0]]), 3, 4.0)
  assert sorted(found[:2]) == [-1, 1] and not found[2:].any()


def test_duplicates_are_left_out():
  rng = np.random.default_rng(1)
  rows = rng.normal(size=(30, 6)).astype(np.float32)
  inputs = SelectionInputs(
    np.zeros(60, np.int32), 1, features=np.concatenate([rows, rows])
  )
  kept = select_examples('zcore', inputs, 20)
  assert len({*(kept % 30)}) >= 19


def test_labels_play_no_part_and_the_seed_does():
  inputs = make_inputs(2)
  kept = select_examples('zcore', inputs, 15).tolist()
  other = SelectionInputs(inputs.labels * 0, 3, features=inputs.features)
  assert select_examples('zcore', other, 15).tolist() == kept
  assert select_examples('zcore', inputs, 15, seed=1).tolist() != kept
  smaller = select_examples('zcore', inputs, 8).tolist()
  assert {*smaller} < {*kept}


def test_equal_features_leave_it_to_chance():
  inputs = make_inputs(3, features=np.ones((40, 5), np.float32))
  assert len(select_examples('zcore', inputs, 15)) == 15
  one = SelectionInputs(
    np.zeros(1, np.int32), 1, features=np.ones((1, 2), np.float32)
  )
  assert select_examples('zcore', one, 1).tolist() == [0]
