"""Tests policies of coverage on what a network makes of real digits.

Clusters that are drawn have no near duplicates, no units that are mostly 0, and
no confident predictions; features of real images have all of these.
"""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

from datadiet.selection import SelectionInputs, select_examples
from datadiet.selection.zcore import zcore
from tests.selection.embedded import by_class, gradients
from tests.selection.gradient_matching_test import _slow_glister, _slow_pursuit
from tests.selection.k_center_test import _apart, _slow
from tests.selection.neighbours_test import (
  _neighbours,
  _objective,
  _slow_d2,
  greedy_infomax,
)
from tests.selection.submodular_test import SLOW
from tests.selection.zcore_test import _slow_zcore

DIGITS = (3, 5, 8)
NUM_EXAMPLES = 150

BY_CLASS = {
  **SLOW,
  'grad_match': lambda part, number: _slow_pursuit(
    gradients(part), number, 0.5
  ),
  'glister': lambda part, number: _slow_glister(part, number, 0.1, 15),
}


@pytest.fixture(scope='module')
def inputs():
  """Hidden units, predictions and EL2N of a small network."""
  images, digits = load_digits(return_X_y=True)
  chosen = np.isin(digits, DIGITS)
  images, labels = images[chosen] / 16, np.searchsorted(DIGITS, digits[chosen])
  network = MLPClassifier((24,), max_iter=20, random_state=0)
  with pytest.warns(UserWarning, match='Maximum iterations'):
    network.fit(images, labels)
  images, labels = images[:NUM_EXAMPLES], labels[:NUM_EXAMPLES]
  hidden = images @ network.coefs_[0] + network.intercepts_[0]
  probs = network.predict_proba(images).astype(np.float32)
  errors = probs - np.eye(3)[labels]
  return SelectionInputs(
    labels.astype(np.int32),
    3,
    scores=np.linalg.norm(errors, axis=1).astype(np.float32),
    higher_is='harder',
    features=np.maximum(hidden, 0).astype(np.float32),
    pred_probs=probs,
  )


def test_the_features_are_those_of_a_network_that_has_learned(inputs):
  right = inputs.pred_probs.argmax(1) == inputs.labels
  assert 0.8 < right.mean()
  assert 0.2 < (inputs.features == 0).mean() < 0.8


@pytest.mark.parametrize('num_keep', [15, 60, 120])
@pytest.mark.parametrize('policy', BY_CLASS)
def test_policies_within_classes_equal_their_definitions(
  inputs, policy, num_keep
):
  kept = select_examples(policy, inputs, num_keep)
  assert kept.tolist() == by_class(inputs, num_keep, BY_CLASS[policy])


@pytest.mark.parametrize('num_keep', [15, 60, 120])
def test_policies_over_all_classes_equal_their_definitions(inputs, num_keep):
  rows = inputs.features.astype(float)
  probs = inputs.pred_probs.astype(float)
  apart = np.array(
    [[0.5 * ((p - q) * np.log(p / q)).sum() for q in probs] for p in probs]
  )
  nearest, _ = _neighbours(rows, 10)
  differs = [
    np.mean(
      [(probs[j] * np.log(probs[j] / probs[i])).sum() for j in nearest[i]]
    )
    for i in range(NUM_EXAMPLES)
  ]
  (first,) = select_examples('k_center', inputs, 1)
  (start,) = select_examples('contextual_diversity', inputs, 1)
  expected = {
    'k_center': _slow(_apart(rows), first, num_keep),
    'contextual_diversity': _slow(apart, start, num_keep),
    'cal': np.argsort(differs)[::-1][:num_keep].tolist(),
    'd2': _slow_d2(inputs, num_keep, 10, 1.0, 0.1),
  }
  for policy, slow in expected.items():
    kept = select_examples(policy, inputs, num_keep)
    assert kept.tolist() == sorted(slow), policy


@pytest.mark.parametrize('num_keep', [15, 60, 120])
def test_infomax_reaches_what_greed_does(inputs, num_keep):
  kept = select_examples('infomax', inputs, num_keep)
  highest = np.argsort(-inputs.scores, kind='stable')[:num_keep]
  found, greedy, top = (
    _objective(inputs, subset, 5, 0.3)[0]
    for subset in (kept, greedy_infomax(inputs, num_keep, 5, 0.3), highest)
  )
  # Of what greed gains over the highest scores alone.
  assert found > greedy - 0.05 * (greedy - top) > top


def test_zcore_equals_its_definition_with_the_same_draws(inputs):
  options = {'num_neighbours': 100, 'exponent': 4.0}
  for num_keep in (15, 60, 120):
    kept = zcore(
      inputs,
      num_keep,
      rng=np.random.default_rng(3),
      draws_per_example=20,
      **options,
    )
    slow = _slow_zcore(
      inputs.features, num_keep, np.random.default_rng(3), 20, **options
    )
    assert kept.tolist() == slow
