"""Tests inner products of embeddings, parts and quotas."""

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.selection import select_examples
from datadiet.selection.embeddings import (
  Embeddings,
  errors_of,
  in_parts,
)
from tests.selection.embedded import cosines, gradients, make_inputs


def _rows(inputs):
  if inputs.embeddings == 'gradients':
    return gradients(inputs)
  return inputs.features.astype(float)


@pytest.mark.parametrize('kind', ['features', 'gradients'])
def test_products_are_those_of_the_vectors_multiplied_out(kind, monkeypatch):
  monkeypatch.setattr('datadiet.selection.embeddings._BLOCK', 7)
  inputs = make_inputs(embeddings=kind)
  rows, embeddings = _rows(inputs), Embeddings.of(inputs)
  close = {'rtol': 1e-4, 'atol': 1e-5}
  rows = rows * embeddings.scale  # So far from 1 that squares are safe.
  np.testing.assert_allclose(embeddings.gram(), rows @ rows.T, **close)
  np.testing.assert_allclose(
    embeddings.squared_norms(), (rows**2).sum(1), **close
  )
  np.testing.assert_allclose(embeddings.cosines(), cosines(rows), **close)
  apart = np.linalg.norm(rows[:, None] - rows, axis=2)
  np.testing.assert_allclose(embeddings.distances(), apart, atol=3e-3)
  between = embeddings.squared_distances()(slice(3, 8), np.array([1, 30]))
  np.testing.assert_allclose(between, apart[3:8, [1, 30]] ** 2, **close)


def test_equal_examples_are_at_distance_zero():
  inputs = make_inputs()
  twice = inputs.take(np.tile(np.arange(40), 2))
  distances = Embeddings.of(twice).distances()
  assert (distances[:40, 40:].diagonal() == 0).all()


def test_one_of_length_zero_is_similar_to_none():
  inputs = make_inputs()
  inputs.features[3] = 0
  found = Embeddings.of(inputs).cosines()
  assert (found[3] == 0).all() and np.isfinite(found).all()


def test_errors_keep_the_digits_of_confident_examples():
  probs = np.array([[1.0, 1e-12], [0.25, 0.75]], np.float32)
  inputs = make_inputs(num_examples=2, num_classes=2, pred_probs=probs)
  inputs.labels[:] = 0
  expected = [[-1e-12, 1e-12], [-0.75, 0.75]]
  np.testing.assert_allclose(errors_of(inputs), expected, rtol=1e-6)


def test_parts_are_disjoint_and_keep_the_same_share():
  inputs = make_inputs(num_examples=23)
  seen = []

  def choose(part, number):
    seen.append((part.num_examples, number))
    return np.arange(number)[::-1]

  kept = in_parts(inputs, 12, 6, choose)
  assert seen == [(6, 3), (6, 3), (6, 3), (5, 3)]
  # Part p of 4 has p, p + 4, ...: the first three of each.
  assert kept.tolist() == list(range(12))
  assert in_parts(inputs, 5, 23, choose).tolist() == list(range(5))


def test_what_cannot_be_looked_at_is_refused():
  inputs = make_inputs(embeddings='gradient')
  with pytest.raises(DataDietError, match="is 'gradient', but has to be"):
    select_examples('k_center', inputs, 5)
  with pytest.raises(DataDietError, match="'craig' needs pred_probs"):
    select_examples('craig', make_inputs(pred_probs=None), 5)
  # Features alone will do where the user says so.
  alone = make_inputs(pred_probs=None, embeddings='features')
  assert len(select_examples('craig', alone, 5)) == 5
  short = make_inputs(features=np.ones((39, 5), np.float32))
  with pytest.raises(DataDietError, match=r'shape \[40, num_features\]'):
    select_examples('herding', short, 5)
  broken = make_inputs()
  broken.features[9, 1] = np.nan
  with pytest.raises(DataDietError, match='example_index 9'):
    select_examples('zcore', broken, 5)


@pytest.mark.parametrize(
  'change, message',
  [
    (lambda probs: probs[:, :2], 'each of 3 classes, but have 2'),
    (lambda probs: probs * 2, 'of example_index 0'),
    (lambda probs: -probs, 'have to be probabilities'),
  ],
)
def test_predictions_that_are_none_are_refused(change, message):
  inputs = make_inputs()
  bad = make_inputs(pred_probs=change(inputs.pred_probs))
  with pytest.raises(DataDietError, match=message):
    select_examples('glister', bad, 5)
