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
