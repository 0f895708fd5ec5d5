"""Tests of the thresholds that come from the data alone."""

import numpy as np
import pytest

from datadiet import audit

PROBS = np.array(
  [
    [0.9, 0.1, 0.0],
    [0.7, 0.2, 0.1],  # Mean of p_0 over label 0: (0.9 + 0.7 + 0.2) / 3 = 0.6.
    [0.2, 0.7, 0.1],
    [0.55, 0.4, 0.05],  # Mean of p_1 over label 1: (0.4 + 0.5) / 2 = 0.45.
    [0.45, 0.5, 0.05],
    [0.7, 0.2, 0.1],
  ],
  np.float32,
)
LABELS = np.array([0, 0, 0, 1, 1, 1], np.int32)


def test_confident_issues():
  labels = LABELS.copy()
  labels[5] = 2  # The mean of p_2 is 0.1 then, less than guessing: 1 / 3.
  found = audit.confident_issues(PROBS, labels)
  # Number 3 is confident of none: 0.55 < 0.6, 0.4 < 0.45, 0.05 < 1 / 3.
  assert found.tolist() == [False, False, True, False, False, True]


def test_classes_that_are_hard_are_not_blamed():
  """A prediction counts against what its class usually gets."""
  rng = np.random.default_rng(0)
  labels = np.repeat(np.arange(2), 500).astype(np.int32)
  first = np.where(labels == 0, 0.9, 0.55) + 0.02 * rng.normal(size=1000)
  probs = np.stack([first, 1 - first], 1)
  # Class 1 is mostly predicted as class 0, at 0.55: far below 0.9.
  assert (probs.argmax(1) != labels).mean() > 0.4
  assert not audit.confident_issues(probs, labels).any()


def test_confident_issues_are_those_of_cleanlab():
  count = pytest.importorskip('cleanlab.count')
  rng = np.random.default_rng(1)
  labels = rng.integers(0, 5, 2000)
  # Better than by guessing, as cleanlab's thresholds have another bound.
  probs = 0.8 * rng.dirichlet(np.ones(5), 2000) + 0.2 * np.eye(5)[labels]
  joint, issues = count.compute_confident_joint(
    labels, probs, calibrate=False, return_indices_of_off_diagonals=True
  )
  found = audit.confident_issues(probs, labels)
  assert np.flatnonzero(found).tolist() == sorted(issues)


def test_a_class_without_examples_is_no_trouble():
  found = audit.confident_issues(PROBS[:3], LABELS[:3])
  assert not found.any()


def test_a_mixture_of_two_groups_is_told_apart():
  rng = np.random.default_rng(2)
  upper = rng.random(5000) < 0.15
  values = np.where(upper, 6.0, 0.0) + rng.normal(size=5000)
  found = audit.mixture_issues(1000 + 30 * values)
  assert (found == upper).mean() > 0.99
  assert not found[values < 0].any()


def test_values_that_are_all_the_same_have_no_groups():
  assert not audit.mixture_issues(np.full(10, 3.0)).any()
