"""Audits that cried wolf: small classes, and networks that know little."""

import numpy as np
import pytest

from datadiet import audit


def _fair_networks(sizes, known, rng):
  """pred_probs and labels of networks that know some classes well.

  Of the others they never say more than 1e-6, least of all of their examples.
  """
  labels = np.repeat(np.arange(len(sizes)), sizes)
  known = np.array(known, bool)
  weights = rng.uniform(0.01, 0.03, (len(labels), len(sizes)))
  weights[np.arange(len(labels)), labels] = rng.uniform(0.5, 1.5, len(labels))
  weights[:, ~known] = rng.uniform(2e-8, 1e-6, (len(labels), (~known).sum()))
  strangers = ~known[labels]
  weights[strangers, labels[strangers]] = 1e-8
  return (weights / weights.sum(1, keepdims=True)).astype(np.float32), labels


@pytest.mark.parametrize(
  'sizes, known',
  [
    ((100, 100, 1), (1, 1, 0)),
    ((100, 100, 2), (1, 1, 0)),
    ((60, 60, 60, 1), (1, 1, 1, 0)),
    ((60, 60, 1, 1), (1, 1, 0, 0)),
    ((100, 50, 1), (1, 1, 0)),
  ],
)
def test_a_tiny_class_makes_nobody_a_suspect(sizes, known):
  """Its examples alone are, whose labels no network could learn."""
  rng = np.random.default_rng(0)
  probs, labels = _fair_networks(sizes, known, rng)
  found = audit.confident_issues(probs, labels)
  tiny = ~np.array(known, bool)[labels]
  assert not found[~tiny].any()


@pytest.mark.parametrize('num_classes', [2, 3, 10, 100])
def test_networks_at_chance_are_not_believed(num_classes):
  rng = np.random.default_rng(num_classes)
  labels = rng.integers(0, num_classes, 1000)
  predicted = rng.integers(0, num_classes, 1000)
  accuracy = float((predicted == labels).mean())
  assert audit.too_little_known(accuracy, labels, 'the test split')
