"""Tests maps of embeddings: what lies together, and odd shapes."""

import numpy as np
import pytest

from datadiet.inspection.embedding_map import MAPS, embedding_map


def _clusters(num_dimensions: int = 16) -> tuple[np.ndarray, np.ndarray]:
  """(embeddings of three groups by direction, their groups)."""
  rng = np.random.default_rng(0)
  group = np.repeat([0, 1, 2], 40)
  centres = np.eye(3, num_dimensions)[group]
  noise = 0.1 * rng.normal(size=centres.shape)
  lengths = rng.uniform(0.5, 5, (len(group), 1))
  return ((centres + noise) * lengths).astype(np.float32), group


@pytest.mark.parametrize('kind', MAPS)
def test_groups_lie_together(kind):
  if kind == 'umap':
    pytest.importorskip('umap')
  embeddings, group = _clusters()
  places = embedding_map(kind, embeddings)
  assert places.shape == (120, 2) and places.dtype == np.float32
  centres = np.stack([places[group == k].mean(0) for k in range(3)])
  gaps = np.linalg.norm(places[:, None] - centres, axis=2)
  np.testing.assert_array_equal(gaps.argmin(1), group)
  np.testing.assert_array_equal(embedding_map(kind, embeddings), places)


def test_one_dimension_and_equal_vectors_have_a_map():
  places = embedding_map('pca', np.ones((5, 3), np.float32))
  np.testing.assert_allclose(places, 0, atol=1e-6)
  line = np.array([[1], [-1], [2]], np.float32)
  places = embedding_map('pca', line)
  # By direction: 1 and 2 are the same.
  assert places[0, 0] == pytest.approx(places[2, 0])
  assert abs(places[0, 0] - places[1, 0]) > 1
  assert not places[:, 1].any()
