"""Tests moderate and prototypes, which look at features."""

import math

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.selection import SelectionInputs, features, select_examples


def _inputs(seed, num_examples=60, num_classes=3, num_features=4):
  """Features on a coarse grid, half of the examples twice: many ties."""
  rng = np.random.default_rng(seed)
  half = rng.integers(-2, 3, (num_examples // 2, num_features))
  labels = rng.integers(0, num_classes, num_examples // 2)
  return SelectionInputs(
    np.tile(labels, 2).astype(np.int32),
    num_classes,
    features=np.tile(half, (2, 1)).astype(np.float32),
  )


def _slow_moderate(inputs, num_keep):
  rows = inputs.features.astype(float)
  distances = []
  for row, label in zip(rows, inputs.labels, strict=True):
    members = [
      r for r, m in zip(rows, inputs.labels, strict=True) if m == label
    ]
    centre = [
      sum(column) / len(members) for column in zip(*members, strict=True)
    ]
    distances.append(math.dist(row, centre))
  ordered = sorted(distances)
  middle = len(ordered) // 2
  median = (ordered[middle - 1] + ordered[middle]) / 2
  # Rounded, as two ways to the same number differ in the last digit.
  gaps = [(round(abs(d - median), 9), i) for i, d in enumerate(distances)]
  return sorted(i for _, i in sorted(gaps)[:num_keep])


@pytest.mark.parametrize('num_keep', [1, 11, 30, 60])
def test_moderate_keeps_distances_nearest_the_median(num_keep):
  for seed in range(4):
    inputs = _inputs(seed)
    kept = select_examples('moderate', inputs, num_keep)
    assert kept.tolist() == _slow_moderate(inputs, num_keep)


def test_moderate_measures_from_the_mean_not_the_coordinate_median():
  column = np.array([[0], [0], [0], [8]], np.float32)
  distances = features.centre_distances(column, np.zeros(4, np.int32))
  assert distances.tolist() == [2, 2, 2, 6]


def _blobs():
  """Three tight clusters in different directions and three outliers."""
  rng = np.random.default_rng(0)
  centres = np.eye(3) * 10
  blob = np.repeat(centres, 20, axis=0) + rng.normal(0, 0.1, (60, 3))
  outliers = np.array([[10, 4, 0], [0, 10, 5], [6, 0, 10]])
  return SelectionInputs(
    np.zeros(63, np.int32),
    3,
    features=np.concatenate([blob, outliers]).astype(np.float32),
  )


@pytest.mark.parametrize('distance', ['cosine', 'euclidean'])
def test_prototypes_finds_what_is_far_from_the_clusters(distance):
  options = {'distance': distance}
  hardest = select_examples('prototypes', _blobs(), 3, options=options)
  assert hardest.tolist() == [60, 61, 62]
  options['keep'] = 'easiest'
  easiest = select_examples('prototypes', _blobs(), 60, options=options)
  assert easiest.tolist() == list(range(60))


def _slow_nearest(rows, centroids, distance):
  values = []
  for row in rows:
    if distance == 'euclidean':
      values.append(min(math.dist(row, centroid) for centroid in centroids))
    else:
      values.append(
        min(
          1 - np.dot(row, c) / (np.linalg.norm(row) * np.linalg.norm(c))
          for c in centroids
        )
      )
  return values


@pytest.mark.parametrize('distance', ['cosine', 'euclidean'])
def test_prototype_distances_are_those_to_the_nearest(monkeypatch, distance):
  monkeypatch.setattr(features, '_CHUNK', 7)
  rng = np.random.default_rng(1)
  rows, centroids = rng.normal(size=(40, 5)), rng.normal(size=(6, 5))
  found = features.prototype_distances(rows, centroids, distance)
  expected = _slow_nearest(rows, centroids, distance)
  np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_equal_features_get_equal_distances():
  rng = np.random.default_rng(2)
  rows = np.tile(rng.normal(size=(33, 67)), (3, 1))
  for distance in ('cosine', 'euclidean'):
    found = features.prototype_distances(
      rows, rng.normal(size=(9, 67)), distance
    )
    np.testing.assert_array_equal(found[:33], found[33:66])
    np.testing.assert_array_equal(found[:33], found[66:])


def test_one_cluster_ranks_by_distance_to_the_mean():
  inputs = _inputs(3)
  rows = inputs.features.astype(float)
  gaps = np.linalg.norm(rows - rows.mean(axis=0), axis=1)
  order = sorted(range(60), key=lambda i: (-round(gaps[i], 9), i))
  kept = select_examples(
    'prototypes',
    inputs,
    17,
    options={'num_clusters': 1, 'distance': 'euclidean'},
  )
  assert kept.tolist() == sorted(order[:17])


def test_prototypes_is_the_same_for_the_same_seed():
  inputs = _inputs(4)
  kept = [select_examples('prototypes', inputs, 20, seed=7) for _ in range(3)]
  assert kept[0].tolist() == kept[1].tolist() == kept[2].tolist()


def test_prototypes_with_few_distinct_examples_gives_no_warning():
  rows = np.ones((10, 2), np.float32)
  inputs = SelectionInputs(np.zeros(10, np.int32), 4, features=rows)
  assert select_examples('prototypes', inputs, 3).tolist() == [0, 1, 2]


def test_features_of_zero_are_at_cosine_distance_one():
  rows = np.zeros((1, 3))
  distances = features.prototype_distances(rows, np.eye(3), 'cosine')
  assert distances.tolist() == [1.0]


def test_bad_features_are_refused():
  inputs = _inputs(0)
  with pytest.raises(DataDietError, match='num_clusters=61 clusters of 60'):
    select_examples('prototypes', inputs, 5, options={'num_clusters': 61})
  with pytest.raises(DataDietError, match="'moderate' needs features"):
    select_examples('moderate', SelectionInputs(inputs.labels, 3), 5)
  flat = SelectionInputs(inputs.labels, 3, features=inputs.features[:, 0])
  with pytest.raises(DataDietError, match=r'shape \[60, num_features\]'):
    select_examples('moderate', flat, 5)
  broken = inputs.features.copy()
  broken[9, 1] = np.inf
  bad = SelectionInputs(inputs.labels, 3, features=broken)
  with pytest.raises(DataDietError, match='example_index 9'):
    select_examples('prototypes', bad, 5)
