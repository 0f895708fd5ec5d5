"""Rounds what the page has of every example, where it were too large else."""

from typing import Any

import numpy as np

from datadiet.reporting.payload import pack, unpack

# (digits of scores, places across the map), the finest first.
_STEPS = ((4, 4096), (3, 2048), (2, 1024))
# A histogram has 50 bins: each has the values of twenty steps or more.
_STEPS_IN_RANGE = 1000
# Of each score; whoever sorts by it looks at these.
NUM_EXACT = 1000
_MAP_PLACES = 65536


def round_payload(
  payload: dict[str, Any], arrays: dict[str, str], num_bytes: int
) -> tuple[dict[str, Any], dict[str, str]]:
  """Rounds scores and map no more than needed to save bytes.

  Args:
    payload: from `build_payload`.
    arrays: likewise.
    num_bytes: to be saved; where that cannot be, it is as many as can.

  Returns:
    payload with 'rounding': digits; num_exact, of the highest values of each
    score, and of the lowest; and map_places, how many places the longer side
    of the map has. And arrays: 'score-<i>' (int32) are then numbers of
    'levels-<i>' (float32), the values that the score has.
  """
  scores = {
    name.removeprefix('score-'): unpack(text, np.float32)
    for name, text in arrays.items()
    if name.startswith('score-')
  }
  places = unpack(arrays['map'], np.uint16) if 'map' in arrays else None
  before = sum(map(len, arrays.values()))
  rounded = {}
  for digits, map_places in _STEPS:
    for number, values in scores.items():
      levels, codes = np.unique(
        round_score(values, digits), return_inverse=True
      )
      rounded[f'score-{number}'] = pack(codes.astype(np.int32))
      rounded[f'levels-{number}'] = pack(levels)
    if places is not None:
      width = _MAP_PLACES // map_places
      rounded['map'] = pack(places // width * width)
    found = arrays | rounded
    if before - sum(map(len, found.values())) >= num_bytes:
      break
  rounding = {
    'digits': digits,
    'num_exact': NUM_EXACT,
    'map_places': map_places,
  }
  return payload | {'rounding': rounding}, found


def round_score(values: np.ndarray, digits: int) -> np.ndarray:
  """Values of few digits, in the order of those that they are of.

  Args:
    values: float32[N].
    digits: that are left, but more where a step were above a thousandth of the
      range.

  Returns:
    float32[N]; the NUM_EXACT highest and lowest are as they were, and so are
    infinities and NaN. What was higher is not lower.
  """
  is_finite = np.isfinite(values)
  exact = values[is_finite].astype(np.float64)
  if len(exact) <= 2 * NUM_EXACT or np.ptp(exact) == 0:
    return values
  zeros = np.zeros_like(exact)
  magnitude = np.floor(np.log10(np.abs(exact), where=exact != 0, out=zeros))
  step = 10 ** (magnitude - digits + 1)
  step = np.minimum(step, _round_step(np.ptp(exact) / _STEPS_IN_RANGE))
  ends = np.partition(exact, [NUM_EXACT - 1, len(exact) - NUM_EXACT])
  low, high = ends[NUM_EXACT - 1], ends[len(exact) - NUM_EXACT]
  is_between = (exact > low) & (exact < high)
  coarse = np.clip(np.round(exact / step) * step, low, high)
  rounded = values.copy()
  rounded[is_finite] = np.where(is_between, coarse, exact)
  return rounded


def _round_step(limit: float) -> float:
  """The largest of 1, 2, 5, 10, ... and their tenths that is not above."""
  power = 10.0 ** np.floor(np.log10(limit))
  return max(first * power for first in (1, 2, 5) if first * power <= limit)
