"""Features as float32 numbers that matrix products can take the squares of.

Products of float32 matrices overflow from about 1e19 on, vanish below 1e-23,
and lose what a common offset leaves no digits for: 2,000 is a 24-bit number,
but so is the square of 0.5 beside that of 2,000.
"""

import numpy as np

# Rows in float64 at once.
_BLOCK = 1024
# Of the power of two, so that its square is a number too.
_MOST = 500


def in_float32(values: np.ndarray) -> np.ndarray:
  """Which numbers float32 holds: bool, of the shape of the values.

  Args:
    values: real numbers, integers too.
  """
  largest = np.finfo(np.float32).max
  return np.logical_and(values >= -largest, values <= largest)


def scaled(
  values: np.ndarray, *, beside: float = 0.0, centred: bool = False
) -> tuple[np.ndarray, float]:
  """Rows times one power of two, so that the largest number is about 1.

  No digit of any number changes by that.

  Args:
    values: real[N, F], of magnitudes that float32 holds.
    beside: a number that the caller scales likewise.
    centred: whether to take from each column a number close to its mean, which
      changes no difference of rows: for distances, of which |a|^2 + |b|^2 -
      2 <a, b> would otherwise have few digits left. It is a multiple of a power
      of two near the column's spread, so that numbers of few digits, such as 0
      and 1, still have exact products, and their ties stay ties.

  Returns:
    float32[N, F], and the power of two.
  """
  largest = max(
    float(values.max(initial=0)), -float(values.min(initial=0)), beside
  )
  scale = 2.0 ** -float(np.clip(np.frexp(largest)[1], -_MOST, _MOST))
  offsets = _near_means(values) if centred else 0.0
  rows = np.empty(values.shape, np.float32)
  for start in range(0, len(values), _BLOCK):
    block = values[start : start + _BLOCK].astype(np.float64)
    block -= offsets
    block *= scale
    rows[start : start + _BLOCK] = block
  return rows, scale


def _near_means(values: np.ndarray) -> np.ndarray:
  """A number of few digits near the mean of each column: float64[F]."""
  low = values.min(axis=0).astype(np.float64)
  width = values.max(axis=0).astype(np.float64) - low
  # From a 16th to an 8th of the width, so from a half to one standard
  # deviation of 50,000 normal numbers.
  step = np.ldexp(1.0, np.frexp(width)[1] - 4)
  step = np.maximum(step, np.finfo(np.float64).tiny)
  means = values.mean(axis=0, dtype=np.float64)
  return np.where(width > 0, np.round(means / step) * step, low)


def unit_exponents(rows: np.ndarray) -> np.ndarray:
  """Each row times a power of two: its largest number from 1/2 to 1.

  Args:
    rows: float32[N, F].
  """
  largest = np.maximum(rows.max(axis=1), -rows.min(axis=1))
  return np.ldexp(rows, -np.frexp(largest)[1][:, None])
