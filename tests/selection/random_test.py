"""Tests the random policy."""

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.selection import SelectionInputs, select_examples

_INPUTS = SelectionInputs(np.zeros(10, np.int32), 1)
_MANY = SelectionInputs(np.zeros(1000, np.int32), 1)


def test_needs_no_scores_and_follows_the_seed():
  first = select_examples('random', _INPUTS, 5, seed=3)
  assert (
    first.tolist() == select_examples('random', _INPUTS, 5, seed=3).tolist()
  )
  draws = {
    tuple(select_examples('random', _INPUTS, 5, seed=s)) for s in range(9)
  }
  assert len(draws) > 5


def test_every_example_is_kept_equally_often():
  num_draws = 2000
  counts = np.zeros(10)
  for seed in range(num_draws):
    counts[select_examples('random', _INPUTS, 3, seed=seed)] += 1
  # Five standard deviations of a binomial count.
  margin = 5 * np.sqrt(num_draws * 0.3 * 0.7)
  np.testing.assert_allclose(counts, 0.3 * num_draws, atol=margin)


def test_the_draw_of_a_seed_never_changes():
  # Selections outlive a release: a new draw would not be the same experiment.
  kept = select_examples('random', _INPUTS, 4, seed=0)
  assert kept.tolist() == [2, 5, 7, 8]


def test_draws_of_one_seed_are_none_of_another():
  def kept(seed, draw):
    chosen = select_examples('random', _MANY, 500, seed=seed, draw=draw)
    return chosen.tobytes()

  draws = {kept(seed, draw) for seed in range(4) for draw in range(4)}
  assert len(draws) == 16
  assert kept(3, 0) == select_examples('random', _MANY, 500, seed=3).tobytes()


def test_draws_differ_within_classes_too():
  inputs = SelectionInputs(np.arange(1000, dtype=np.int32) % 2, 2)
  draws = {
    select_examples(
      'random', inputs, 100, seed=seed, draw=draw, class_balanced=True
    ).tobytes()
    for seed in range(3)
    for draw in range(3)
  }
  assert len(draws) == 9


@pytest.mark.parametrize('draw', [-1, 0.5, True])
def test_a_draw_that_is_no_number_of_one_is_refused(draw):
  with pytest.raises(DataDietError, match='draw'):
    select_examples('random', _INPUTS, 5, draw=draw)
