"""Tests of whether recorded predictions are of the examples given."""

import numpy as np
import pytest

from datadiet.errors import ConfigError
from datadiet.importing.agreement import check_agreement


def _predictions(num_examples: int, num_classes: int, share_right: float):
  """Probabilities that are right for a share of labels, and the labels."""
  rng = np.random.default_rng(0)
  labels = rng.integers(num_classes, size=num_examples)
  predicted = (labels + 1) % num_classes
  predicted[: round(share_right * num_examples)] = labels[
    : round(share_right * num_examples)
  ]
  return np.eye(num_classes, dtype=np.float32)[predicted], labels


def test_a_weak_network_is_let_pass():
  check_agreement(*_predictions(2000, 10, 0.2), 'here')


def test_what_is_right_by_chance_is_refused():
  with pytest.raises(ConfigError, match=r'here: .*10.0%.*by --ids'):
    check_agreement(*_predictions(2000, 10, 0.1), 'here')


def test_few_examples_are_only_warned_of(caplog):
  check_agreement(*_predictions(20, 2, 0.6), 'here')
  assert '60.0%' in caplog.text and '20 examples are too few' in caplog.text
  caplog.clear()
  check_agreement(*_predictions(20, 2, 0.95), 'here')
  assert 'too few' not in caplog.text


def test_one_class_has_no_order(caplog):
  labels = np.random.default_rng(0).integers(10, size=2000)
  check_agreement(np.eye(10)[np.full(2000, 3)], labels, 'here')
  assert 'chance' not in caplog.text
