"""Tests of the labels that are suggested."""

import numpy as np

from datadiet import audit


def test_the_most_probable_class():
  probs = np.array([[0.1, 0.9], [0.7, 0.3]], np.float32)
  suggested = audit.most_probable(probs)
  assert suggested.dtype == np.int32
  assert suggested.tolist() == [1, 0]


def test_the_class_that_most_runs_predict():
  predictions = np.array([[0, 3, 1, 2], [1, 3, 2, 2], [1, 0, 3, 5]], np.int32)
  suggested = audit.most_voted(predictions)
  assert suggested.dtype == np.int32
  # Where no class has more votes, the first run's.
  assert suggested.tolist() == [1, 3, 1, 2]
