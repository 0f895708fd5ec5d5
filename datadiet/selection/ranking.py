"""Policies that keep one stretch of the examples ordered by score.

All sorts are stable, so of examples that tie the lowest example_index comes
first and a selection is the same on every machine.
"""

import math

import numpy as np

from datadiet.errors import DataDietError
from datadiet.selection.interface import SelectionInputs


def smallest_first(values: np.ndarray) -> np.ndarray:
  """The order of float[N] values, ascending, ties by position: int64[N]."""
  return np.argsort(values, kind='stable')


def largest_first(values: np.ndarray) -> np.ndarray:
  """The order of float[N] values, descending, ties by position: int64[N]."""
  # Reversing an ascending order would turn the ties round as well.
  return np.argsort(-values, kind='stable')


def hardest_first(inputs: SelectionInputs) -> np.ndarray:
  """The order from the hardest example to the easiest one: int64[N]."""
  if inputs.higher_is == 'harder':
    return largest_first(inputs.array('scores'))
  return smallest_first(inputs.array('scores'))


def hardness(scores: np.ndarray, higher_is: str) -> np.ndarray:
  """Scores brought to [0, 1], hard ones high: float64[N]; 0 if all are equal.

  Args:
    scores: float[N].
    higher_is: 'harder' or 'easier'.
  """
  values = np.asarray(scores, np.float64)
  if higher_is == 'easier':
    values = -values
  values = values - values.min()
  return values / (values.max() or 1.0)


def num_cut(fraction: float, num_examples: int) -> int:
  """How many examples a fraction of num_examples is, to the nearest."""
  return math.floor(fraction * num_examples + 0.5)


def keep_max(
  inputs: SelectionInputs, num_keep: int, *, rng: np.random.Generator
) -> np.ndarray:
  """Keeps the largest score values, whatever `higher_is` (Paul et al. 2021)."""
  del rng
  return np.sort(largest_first(inputs.array('scores'))[:num_keep])


def keep_min(
  inputs: SelectionInputs, num_keep: int, *, rng: np.random.Generator
) -> np.ndarray:
  """Keeps the smallest score values, whatever `higher_is`."""
  del rng
  return np.sort(smallest_first(inputs.array('scores'))[:num_keep])


def keep_max_abs(
  inputs: SelectionInputs, num_keep: int, *, rng: np.random.Generator
) -> np.ndarray:
  """Keeps the scores furthest from zero (for signed scores, as margins)."""
  del rng
  return np.sort(largest_first(np.abs(inputs.array('scores')))[:num_keep])


def keep_min_abs(
  inputs: SelectionInputs, num_keep: int, *, rng: np.random.Generator
) -> np.ndarray:
  """Keeps the scores closest to zero (for signed scores, as margins)."""
  del rng
  return np.sort(smallest_first(np.abs(inputs.array('scores')))[:num_keep])


def offset(
  inputs: SelectionInputs,
  num_keep: int,
  *,
  rng: np.random.Generator,
  offset: int,
) -> np.ndarray:
  """Keeps the examples that follow the `offset` smallest scores.

  The sliding window of Paul et al. 2021, section 3.3: moving the offset shows
  which part of the score's range training needs.
  """
  del rng
  return np.sort(
    smallest_first(inputs.array('scores'))[offset : offset + num_keep]
  )


def check_offset(num_examples: int, num_keep: int, *, offset: int) -> None:
  """Raises DataDietError where `offset` leaves fewer than num_keep."""
  if offset + num_keep > num_examples:
    raise DataDietError(
      f"policy 'offset' cannot keep {num_keep} examples after skipping the "
      f'{offset} smallest scores of {num_examples} examples; offset can be at '
      f'most {num_examples - num_keep} here'
    )


def top_window(
  inputs: SelectionInputs,
  num_keep: int,
  *,
  rng: np.random.Generator,
  drop_fraction: float,
) -> np.ndarray:
  """Keeps the hardest examples after dropping the very hardest ones.

  The very hardest examples of a real data set are often label errors, which
  hurt when they make up much of a subset (Paul et al. 2021, section 3.3).
  """
  del rng
  num_dropped = num_cut(drop_fraction, inputs.num_examples)
  return np.sort(hardest_first(inputs)[num_dropped : num_dropped + num_keep])


def check_top_window(
  num_examples: int, num_keep: int, *, drop_fraction: float
) -> None:
  """Raises DataDietError where `drop_fraction` leaves fewer than num_keep."""
  left = num_examples - num_cut(drop_fraction, num_examples)
  how = f'dropping the hardest drop_fraction={drop_fraction}'
  check_left('top_window', how, left, num_examples, num_keep)


def check_left(
  policy: str, how: str, num_left: int, num_examples: int, num_keep: int
) -> None:
  """Raises DataDietError where a policy's cut leaves fewer than num_keep.

  Args:
    policy: its name.
    how: what it cuts and by which option, for the message.
    num_left: examples after the cut.
    num_examples: examples before it.
    num_keep: how many are to be kept.
  """
  if num_keep > num_left:
    raise DataDietError(
      f'policy {policy!r} cannot keep {num_keep} examples: {how} of '
      f'{num_examples} examples leaves {num_left}'
    )
