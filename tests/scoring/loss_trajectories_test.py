"""Tests CLD by its definition."""

import numpy as np

from datadiet.scoring.loss_trajectories import (
  class_curves,
  correlation_of_differences,
)


def test_curves_are_means_by_class_and_of_all_for_an_empty_one():
  losses = np.arange(12.0).reshape(3, 4)
  found = class_curves(losses, np.array([0, 2, 2, 0]), 3)
  expected = np.stack(
    [losses[:, [0, 3]].mean(1), losses.mean(1), losses[:, [1, 2]].mean(1)], 1
  )
  np.testing.assert_allclose(found, expected)


def test_cld_is_the_correlation_of_differences():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 3, 20)
  losses, curves = rng.uniform(size=(6, 20)), rng.uniform(size=(6, 3))
  found = correlation_of_differences(losses.astype(np.float32), curves, labels)
  for example, label in enumerate(labels):
    own, of_class = np.diff(losses[:, example]), np.diff(curves[:, label])
    expected = np.corrcoef(own, of_class)[0, 1]
    np.testing.assert_allclose(found[example], expected, atol=1e-5)


def test_what_does_not_vary_correlates_with_nothing():
  losses = np.ones((5, 3))
  losses[:, 1] = [5, 4, 2, 1, 0]
  curves = np.array([[5.0], [4], [2], [1], [0]])
  found = correlation_of_differences(losses, curves, np.zeros(3, int))
  np.testing.assert_allclose(found, [0, 1, 0], atol=1e-6)
