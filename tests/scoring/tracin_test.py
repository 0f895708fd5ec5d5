"""Tests tracin_self, and what it warns of."""

import numpy as np
import pytest

from datadiet.scoring.tracin import doubts, tracin_self


def test_it_is_the_sum_of_rates_times_squares():
  grand = np.float32([[1.0, 2.0], [3.0, 0.5]])
  found = tracin_self(grand, [0.1, 0.2])
  assert found.dtype == np.float32
  np.testing.assert_allclose(found, [0.1 + 1.8, 0.4 + 0.05], rtol=1e-6)


@pytest.mark.parametrize(
  'rates, optimizer, said',
  [
    ([0.1, 0.05], 'sgd', []),
    ([0.1, 0.0011], 'sgd', []),
    ([0.1, 0.0009], 'sgd', ['step 20 has fallen']),
    ([0.0, 0.0], 'sgd', ['step 10, 20 has fallen']),
    ([0.1, 0.1], 'adamw', ['adamw divides']),
    ([0.1, 0.0], 'adamw', ['step 20 has', 'adamw divides']),
  ],
)
def test_what_says_little_is_said(rates, optimizer, said):
  found = doubts([10, 20], rates, peak=0.1, optimizer=optimizer)
  assert len(found) == len(said)
  for sentence, part in zip(found, said):
    assert part in sentence
