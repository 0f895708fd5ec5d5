"""Tests that probabilities of wrong labels are true, and how noise is found."""

import numpy as np
import pytest

from datadiet import audit
from datadiet.audit.noise import noise_matrix, odds_of_labels, true_classes
from datadiet.errors import DataDietError

NUM, CLASSES = 20_000, 6


def _noise(kind, rate):
  """float64[CLASSES, CLASSES]: labels given the true class."""
  noise = np.eye(CLASSES) * (1 - rate)
  if kind == 'uniform':
    others = rate / (CLASSES - 1)
    return noise + others * (1 - np.eye(CLASSES))
  # Every class but the last two is taken for the next one.
  for true in range(CLASSES - 2):
    noise[true, true + 1] = rate
  noise[CLASSES - 2 :] = np.eye(CLASSES)[CLASSES - 2 :]
  return noise


def _networks(kind, rate, seed=0, known=4.0):
  """Predictions of labels, labels, and true classes.

  The networks know the true class by logits of `known`, and have learnt the
  noise as if from very many examples.
  """
  rng = np.random.default_rng(seed)
  true = rng.integers(0, CLASSES, NUM)
  evidence = rng.normal(size=(NUM, CLASSES))
  evidence[np.arange(NUM), true] += known
  # The posterior of what was just drawn.
  classes = np.exp(known * evidence)
  classes /= classes.sum(1, keepdims=True)
  noise = _noise(kind, rate)
  labels = (rng.random(NUM)[:, None] > np.cumsum(noise[true], 1)).sum(1)
  return classes @ noise, labels.clip(max=CLASSES - 1), true


def _stated_and_true(kind, rate, known):
  """Expected and true precision at each cut of a hundred labels or more."""
  probs, labels, true = _networks(kind, rate, known=known)
  wrong = labels != true
  found = audit.calibrate(probs, labels)
  probability = found.probability(audit.percentile_ranks(found.log_odds))
  assert abs(probability.mean() - wrong.mean()) < 0.05
  pairs = [
    (cut['expected_precision'], wrong[probability >= cut['at_least']].mean())
    for cut in audit.expected_precision(probability)
    if cut['num_labels'] >= 100
  ]
  assert len(pairs) >= 5
  return np.array(pairs).T


@pytest.mark.parametrize('rate', [0.05, 0.3])
@pytest.mark.parametrize('known', [2.5, 4.0])
def test_probabilities_are_true(rate, known):
  stated, true = _stated_and_true('uniform', rate, known)
  np.testing.assert_allclose(stated, true, atol=0.055)


@pytest.mark.parametrize('rate', [0.05, 0.3])
def test_of_single_pairs_they_are_rather_too_low(rate):
  stated, true = _stated_and_true('asymmetric', rate, 4.0)
  assert (stated < true + 0.02).all() and (stated > true - 0.15).all()


@pytest.mark.parametrize('known', [2.5, 4.0])
def test_few_labels_are_probably_wrong_where_none_is(known):
  probs, labels, _ = _networks('uniform', 0.0, known=known)
  found = audit.calibrate(probs, labels)
  probability = found.probability(audit.percentile_ranks(found.log_odds))
  assert (probability >= 0.5).mean() < 0.01


def _share_found(suspicion, wrong):
  """The share of wrong labels among as many most suspicious ones."""
  return wrong[np.argsort(-suspicion)[: wrong.sum()]].mean()


def test_pairs_that_people_mix_up_are_found():
  """There the label's own probability says little of wrong labels."""
  probs, labels, true = _networks('asymmetric', 0.3, known=2.0)
  wrong = labels != true
  found = audit.calibrate(probs, labels)
  assert not found.is_uniform
  alone = _share_found(audit.of_predictions(probs, labels), wrong)
  assert _share_found(found.log_odds, wrong) > alone + 0.03


def test_noise_of_all_pairs_is_taken_for_the_same():
  probs, labels, true = _networks('uniform', 0.3, known=2.0)
  found = audit.calibrate(probs, labels)
  assert found.is_uniform
  alone = _share_found(audit.of_predictions(probs, labels), labels != true)
  assert _share_found(found.log_odds, labels != true) >= alone - 0.01


def test_the_rates_of_pairs():
  probs, labels, _ = _networks('asymmetric', 0.3)
  noise = noise_matrix(probs, labels, 0.0)
  np.testing.assert_allclose(noise.sum(1), 1)
  pairs = np.arange(CLASSES - 2)
  assert (noise[pairs, pairs + 1] > 0.1).all()
  noise[pairs, pairs + 1] = 0
  np.fill_diagonal(noise, 0)
  assert noise.max() < 0.05


def test_true_classes_are_what_the_noise_was_put_on():
  noise = _noise('asymmetric', 0.3)
  classes = np.eye(CLASSES)
  found = true_classes(classes @ noise, noise)
  assert (np.diag(found) > 0.9).all()
  np.testing.assert_allclose(found.sum(1), 1)


def test_odds_and_mistakes_of_every_label():
  noise = _noise('uniform', 0.3)
  probs = np.full((2, CLASSES), 1 / CLASSES)
  probs[:, 4] += 1e-6
  ((_, log_odds, by_mistake),) = odds_of_labels(probs, noise)
  # Nothing is known: as many are wrong as by the noise.
  np.testing.assert_allclose(log_odds, np.log(0.3 / 0.7), atol=1e-3)
  np.testing.assert_allclose(by_mistake, [[0.06] * 4 + [0, 0.06]] * 2)


@pytest.mark.parametrize('value', [np.nan, np.inf])
def test_predictions_have_to_be_finite(value):
  probs, labels, _ = _networks('uniform', 0.3)
  # In the second block.
  probs = np.concatenate([probs, probs])
  probs[NUM + 5, 2] = value
  message = f'have to be finite.* example_index {NUM + 5} are .*, {value}'
  with pytest.raises(DataDietError, match=message):
    audit.calibrate(probs, np.concatenate([labels, labels]))


def test_networks_at_chance_tell_nothing_apart():
  rng = np.random.default_rng(0)
  probs = rng.dirichlet(np.ones(CLASSES), NUM)
  found = audit.calibrate(probs, rng.integers(0, CLASSES, NUM))
  assert found.separation < 0.6 < audit.ENOUGH_SEPARATION
  probs, labels, _ = _networks('uniform', 0.3, known=2.0)
  assert audit.calibrate(probs, labels).separation > audit.ENOUGH_SEPARATION


def test_two_classes_and_one_that_no_example_has():
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 2, 1000)
  probs = np.where(labels[:, None] == np.arange(2), 0.9, 0.1)
  for columns in (probs, np.c_[probs, np.zeros(1000)]):
    found = audit.calibrate(columns, labels)
    assert np.isfinite(found.log_odds).all()
    assert np.isfinite(found.probability(np.linspace(0.01, 0.99, 9))).all()


def test_probabilities_follow_the_order_that_is_asked_for():
  probs, labels, _ = _networks('uniform', 0.3)
  probability = audit.calibrate(probs, labels).probability(
    np.array([0.01, 0.4, 0.8, 0.99])
  )
  assert probability.dtype == np.float32
  assert (np.diff(probability) >= 0).all()
