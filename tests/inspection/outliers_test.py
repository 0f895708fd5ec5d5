"""Tests that strangers are found, and how many of the others are flagged."""

import numpy as np
from sklearn.metrics import roc_auc_score

from datadiet.data.sources.digits import load_digits
from datadiet.inspection.outliers import class_agreement, outlier_scores
from datadiet.inspection.pixels import read_facts


def _strangers(shape, rng):
  """Two each of noise, stripes, gradients, one colour, and a white dot."""
  height, width, _ = shape
  stripes = np.arange(height) % 2 * 200
  images = [
    rng.integers(0, 256, shape),
    np.broadcast_to(stripes[:, None, None], shape),
    np.broadcast_to(np.linspace(0, 250, width)[None, :, None], shape),
    np.full(shape, 137),
    np.where(np.arange(height)[:, None, None] == 3, 255, np.full(shape, 90)),
  ]
  return np.stack(2 * images).astype(np.uint8)


def test_strangers_are_told_from_digits():
  images = load_digits(None).train.images
  rng = np.random.default_rng(0)
  odd = _strangers(images.shape[1:], rng)
  both = np.concatenate([images, odd])
  is_odd = np.arange(len(both)) >= len(images)
  properties = read_facts(both).properties
  found = outlier_scores(properties)
  assert found.dtype == np.float32
  assert roc_auc_score(is_odd, found) >= 0.95
  assert (found[~is_odd] > 0.5).mean() <= 0.01
  # Embeddings that know them, too, do not make it worse.
  pixels = both.reshape(len(both), -1).astype(np.float32)
  with_embeddings = outlier_scores(properties, pixels)
  assert roc_auc_score(is_odd, with_embeddings) >= 0.95
  assert (with_embeddings[~is_odd] > 0.5).mean() <= 0.01


def test_embeddings_count():
  """One that no property tells."""
  rng = np.random.default_rng(0)
  properties = {'brightness': rng.normal(size=500)}
  embeddings = rng.normal(size=(500, 3)).astype(np.float32)
  embeddings[7] = 40
  found = outlier_scores(properties, embeddings)
  assert found.argmax() == 7 and found[7] > 0.5


def test_agreement_is_the_share_of_neighbours_of_the_class():
  labels = np.array([0, 0, 1, 1])
  neighbours = np.array([[1, 2], [0, 2], [3, 0], [1, 0]])
  expected = [0.5, 0.5, 0.5, 0.0]
  assert class_agreement(neighbours, labels).tolist() == expected
  assert class_agreement(neighbours[:, :0], labels).tolist() == [1.0] * 4
