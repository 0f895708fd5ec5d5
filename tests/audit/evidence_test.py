"""Tests of what speaks for a wrong label."""

import numpy as np
import pytest

from datadiet import audit
from datadiet.audit.evidence import MIN_VISITS, odds_against
from datadiet.scoring import registry


@pytest.mark.parametrize('name', list(audit.EVIDENCE))
def test_evidence_is_higher_where_the_example_is_harder(name):
  values = np.array([0.1, 0.4, 0.8], np.float32)
  evidence = audit.EVIDENCE[name](values)
  assert evidence.dtype == np.float64
  sign = {'harder': 1, 'easier': -1}[registry.SCORES[name].higher_is]
  assert (sign * np.diff(evidence) > 0).all()


def test_probabilities_become_log_odds():
  found = odds_against(np.array([0.5, 0.9, 0.1], np.float32))
  np.testing.assert_allclose(found, [0, -np.log(9), np.log(9)], atol=1e-6)
  assert np.isfinite(odds_against(np.array([0.0, 1.0]))).all()


def test_loss_and_confidence_say_the_same():
  confidence = np.linspace(0.01, 0.99, 50)
  np.testing.assert_allclose(
    audit.EVIDENCE['loss'](-np.log(confidence)),
    audit.EVIDENCE['confidence'](confidence),
  )


def test_predictions_count_against_their_own_label():
  probs = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]], np.float32)
  labels = np.array([0, 2], np.int32)
  found = audit.of_predictions(probs, labels)
  np.testing.assert_allclose(found, odds_against([0.6, 0.3]), rtol=1e-6)


@pytest.mark.parametrize(
  ('names', 'num_visits', 'best'),
  [
    (('aum', 'el2n', 'loss'), MIN_VISITS - 1, 'loss'),
    (('aum', 'el2n', 'loss'), MIN_VISITS, 'aum'),
    (('mean_confidence', 'el2n'), 3, 'el2n'),
    (('mean_confidence', 'el2n'), 30, 'mean_confidence'),
    (('aum', 'forgetting'), 3, 'aum'),
    (('forgetting', 'grand'), 30, 'grand'),
    (('forgetting', 'input_norm'), 30, 'forgetting'),
    (('input_norm', 'variability'), 30, None),
    ((), 30, None),
  ],
)
def test_the_best_score(names, num_visits, best):
  assert audit.best_score(names, num_visits) == best
