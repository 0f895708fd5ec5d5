"""Whether the accuracies of several runs differ by more than chance."""

import dataclasses
import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy import stats

# Fewer runs do not tell by how much runs differ.
MIN_RUNS = 3


@dataclasses.dataclass(frozen=True)
class Difference:
  """How far one method is from another, over their runs.

  Attributes:
    mean: of the differences; None where one of them has no runs.
    interval: half of its 95 % interval; None for a single run.
    p_value: of a two-sided t-test; None for fewer than `MIN_RUNS` runs.
    is_paired: whether runs were compared that begin with the same network;
      None where nothing was compared.
  """

  mean: float | None = None
  interval: float | None = None
  p_value: float | None = None
  is_paired: bool | None = None


def half_interval(values: np.ndarray) -> float | None:
  """Half of the 95 % interval of a mean, by Student's t; None for one value."""
  if len(values) < 2:
    return None
  error = values.std(ddof=1) / math.sqrt(len(values))
  return float(stats.t.ppf(0.975, len(values) - 1) * error)


def compare(
  values: pd.Series, others: pd.Series, num_tested: int | None
) -> Difference:
  """The difference between the mean accuracies of two methods.

  Paired by run over the numbers that both have: such runs begin with the same
  network. Where they share none, unpaired (Welch 1947). No variance is taken
  for less than what testing on so few examples has (q (1 - q) / num_tested for
  an accuracy, the sum of both for a difference): a few runs may agree by
  chance, and that must not pass for certainty.

  Args:
    values: accuracies, by the number of the run.
    others: likewise, what they are compared with.
    num_tested: examples in the test split; None if it is not known.
  """
  shared = values.index.intersection(others.index)
  is_paired = bool(len(shared))
  if is_paired:
    values, others = values[shared], others[shared]
  if not len(values) or not len(others):
    return Difference()
  mean = float(values.mean() - others.mean())
  counts = len(values), len(others)
  if min(counts) < 2:
    return Difference(mean, is_paired=is_paired)
  least = [_variance_of_testing(one, num_tested) for one in (values, others)]
  if is_paired:
    error = max((values - others).var(), sum(least)) / counts[0]
    freedom = counts[0] - 1.0
  else:
    parts = [
      max(one.var(), floor) / len(one)
      for one, floor in zip((values, others), least, strict=True)
    ]
    error = sum(parts)
    freedom = _welch_freedom(parts, counts)
  if not error:  # All alike, and tested on nobody knows how many.
    return Difference(mean, is_paired=is_paired)
  p_value = None
  if min(counts) >= MIN_RUNS:
    p_value = float(2 * stats.t.sf(abs(mean) / math.sqrt(error), freedom))
  interval = float(stats.t.ppf(0.975, freedom) * math.sqrt(error))
  return Difference(mean, interval, p_value, is_paired)


def _variance_of_testing(values: pd.Series, num_tested: int | None) -> float:
  """The binomial variance of an accuracy; 0 where the test's size is unknown.

  By Laplace's rule, so that it is not 0 where all is right or all is wrong.
  """
  if not num_tested:
    return 0.0
  share = (num_tested * values.mean() + 1) / (num_tested + 2)
  return float(share * (1 - share) / num_tested)


def _welch_freedom(parts: list[float], counts: tuple[int, int]) -> float:
  """The degrees of freedom of an unpaired test, of Welch and Satterthwaite.

  Args:
    parts: the squared standard error of each mean.
    counts: how many runs each mean is of.
  """
  below = sum(
    part**2 / (count - 1) for part, count in zip(parts, counts, strict=True)
  )
  return sum(parts) ** 2 / below if below else 1.0


def holm(p_values: Iterable[float | None]) -> list[float | None]:
  """Holm's correction of several tests; those that are None stay so."""
  given = list(p_values)
  known = sorted(
    (value, number) for number, value in enumerate(given) if value is not None
  )
  corrected: list[float | None] = [None] * len(given)
  highest = 0.0
  for rank, (value, number) in enumerate(known):
    highest = max(highest, min(1.0, value * (len(known) - rank)))
    corrected[number] = highest
  return corrected
