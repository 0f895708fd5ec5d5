"""Tests of when networks know too little for wrong labels to be counted."""

import numpy as np
import pytest

from datadiet import audit
from datadiet.audit import guard


def _labels(*sizes):
  return np.repeat(np.arange(len(sizes)), sizes)


@pytest.mark.parametrize(
  'sizes, enough',
  [
    ((10,) * 10, 0.7),  # Guessing gets a tenth.
    ((50, 50), 0.75),  # Halfway from guessing, one half, to all.
    ((90, 10), 0.95),
    ((60, 20, 20), 0.8),
    ((100,), 1.0),
  ],
)
def test_more_is_asked_for_where_guessing_gets_far(sizes, enough):
  labels = _labels(*sizes)
  assert guard.enough_accuracy(labels) == pytest.approx(enough)
  of_what = 'the test split'
  assert audit.too_little_known(enough + 1e-9, labels, of_what) is None
  sentence = audit.too_little_known(enough - 0.01, labels, of_what)
  assert 'of the test split' in sentence and 'train longer' in sentence
  assert '\n' not in sentence


@pytest.mark.parametrize('accuracy', [0.0, 0.1, 0.47, 0.6])
def test_networks_near_chance_count_nothing(accuracy):
  sentence = audit.too_little_known(accuracy, _labels(*(10,) * 10), 'all')
  assert f'{100 * accuracy:.0f} %' in sentence


NUM = 2000


def _networks(rng, shares, known, agree, spread=1.0):
  """Predictions and labels, drawn in proportion to `shares`.

  Args:
    rng: a generator.
    shares: of the classes.
    known: mean logit of the true class, by class; 0 for what nobody knows.
    agree: share of the labels that are the true class, the others any other.
    spread: of that logit.
  """
  num_classes = len(shares)
  true = rng.choice(num_classes, NUM, p=np.array(shares) / sum(shares))
  labels = true.copy()
  wrong = rng.random(NUM) > agree
  moved = true + rng.integers(1, num_classes, NUM)
  labels[wrong] = moved[wrong] % num_classes
  logits = rng.normal(0, 0.3, (NUM, num_classes)) + np.log(shares)
  own = np.array(known)[true] + spread * rng.normal(size=NUM)
  logits[np.arange(NUM), true] += own * (np.array(known)[true] > 0)
  weights = np.exp(logits)
  return weights / weights.sum(1, keepdims=True), labels


def _accuracy(probs, labels):
  return float((probs.argmax(1) == labels).mean())


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('agree', [0.5, 0.6, 0.68])
@pytest.mark.parametrize('num_classes', [4, 10, 50])
def test_many_wrong_labels_are_counted_by_networks_that_know(
  seed, agree, num_classes
):
  """However few labels such networks agree with."""
  shares, known = [1.0] * num_classes, [5.0] * num_classes
  rng = np.random.default_rng(seed)
  probs, labels = _networks(rng, shares, known, agree)
  accuracy = _accuracy(probs, labels)
  assert accuracy < guard.enough_accuracy(labels)
  assert audit.too_little_known(accuracy, labels, 'all', probs) is None


WOLVES = {
  'at chance': ([1.0] * 10, [0.0] * 10, 1.0, 1.0),
  'at chance, wrong labels': ([1.0] * 10, [0.0] * 10, 0.8, 1.0),
  # What always says the largest class rejects every other label.
  'the largest class': ([9.0, 1.0], [0.0, 0.0], 1.0, 1.0),
  'the largest of four': ([7.0, 1.0, 1.0, 1.0], [0.0] * 4, 1.0, 1.0),
  'four classes unknown': ([1.0] * 10, [5.0] * 6 + [0.0] * 4, 1.0, 1.0),
  'a class unknown': ([4.0, 1.0, 1.0, 4.0], [5.0, 5.0, 0.0, 5.0], 1.0, 1.0),
  'weak': ([1.0] * 10, [2.0] * 10, 1.0, 1.5),
  # Easy examples and hard ones, and all that lies between them.
  'one wide group': ([1.0] * 10, [1.0] * 10, 1.0, 3.0),
  'two classes, weak': ([1.0, 1.0], [0.5, 0.5], 1.0, 1.5),
}


@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('wolf', list(WOLVES))
def test_no_wolf_is_cried(wolf, seed):
  """Networks that reject labels which they just do not know."""
  probs, labels = _networks(np.random.default_rng(seed), *WOLVES[wolf])
  assert not guard.groups_are_apart(probs, labels)


def test_labels_that_are_all_right_make_no_two_groups():
  rng = np.random.default_rng(0)
  probs, labels = _networks(rng, [1.0] * 10, [6.0] * 10, 1.0)
  assert not guard.groups_are_apart(probs, labels)
  same = np.full((NUM, 10), 0.1)
  assert not guard.groups_are_apart(same, labels)


def test_a_class_of_three_hides_no_groups():
  """Of so few nobody can know what they look like."""
  rng = np.random.default_rng(0)
  probs, labels = _networks(rng, [1.0] * 3, [5.0] * 3, 0.65)
  probs = np.hstack([probs * (1 - 1e-6), np.full((NUM, 1), 1e-6)])
  labels[:3] = 3
  assert guard.groups_are_apart(probs, labels)
