"""Tests that nearest neighbours are those of comparing all with all."""

import numpy as np
import pytest

from datadiet.inspection.neighbours import cosine_neighbours, nearest


def _vectors(num=300, seed=0):
  rng = np.random.default_rng(seed)
  return rng.normal(size=(num, 5)).astype(np.float32)


def _brute(vectors, num_neighbours):
  wide = vectors.astype(np.float64)
  distances = np.linalg.norm(wide[:, None] - wide, axis=-1)
  np.fill_diagonal(distances, np.inf)
  order = np.argsort(distances, axis=1, kind='stable')[:, :num_neighbours]
  return np.take_along_axis(distances, order, 1), order


def test_they_are_those_of_comparing_all_with_all():
  vectors = _vectors()
  distances, positions = nearest(vectors, 4)
  expected = _brute(vectors, 4)
  np.testing.assert_array_equal(positions, expected[1])
  np.testing.assert_allclose(distances, expected[0], rtol=1e-6)


@pytest.mark.parametrize('num_copies', [2, 6])
def test_copies_are_at_distance_0_and_no_example_is_its_own(num_copies):
  vectors = _vectors()
  vectors[:num_copies] = vectors[0]
  distances, positions = nearest(vectors, 3)
  assert not (positions == np.arange(len(vectors))[:, None]).any()
  near = min(num_copies - 1, 3)
  assert not distances[:num_copies, :near].any()
  assert (positions[:num_copies, :near] < num_copies).all()
  assert distances[num_copies:].all()


def test_neighbours_of_others_may_be_at_distance_0():
  vectors = _vectors()
  distances, positions = nearest(vectors, 2, queries=vectors[7:9])
  assert positions[:, 0].tolist() == [7, 8] and not distances[:, 0].any()


def test_cosine_distances_know_no_length():
  vectors = _vectors()
  distances, positions = cosine_neighbours(vectors, 3)
  unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
  expected, order = _brute(unit, 3)
  np.testing.assert_array_equal(positions, order)
  cosines = np.einsum('nd,nkd->nk', unit, unit[order])
  np.testing.assert_allclose(distances, 1 - cosines, atol=1e-6)
  assert distances.dtype == np.float32
  longer = vectors * np.arange(1, 301, dtype=np.float32)[:, None]
  np.testing.assert_array_equal(cosine_neighbours(longer, 3)[1], positions)


def test_of_very_many_nearly_all_are_found():
  rng = np.random.default_rng(0)
  centres = rng.normal(size=(50, 16))
  vectors = centres[rng.integers(0, 50, 20_000)]
  vectors = (vectors + 0.5 * rng.normal(size=vectors.shape)).astype(np.float32)
  _, exact = nearest(vectors, 10)
  _, found = nearest(vectors, 10, exact_up_to=1000)
  assert not (found == np.arange(len(vectors))[:, None]).any()
  both = [len({*a} & {*b}) for a, b in zip(exact, found, strict=True)]
  assert np.mean(both) > 9.5


def test_none_is_missing_where_few_are_in_the_cells_looked_into():
  vectors = _vectors(400)
  distances, positions = nearest(vectors, 150, exact_up_to=0)
  assert positions.min() == 0 and np.isfinite(distances).all()
  assert all(len({*row}) == 150 for row in positions.tolist())
