"""Policies that sample over the whole range of difficulty."""

import numpy as np

from datadiet.errors import DataDietError
from datadiet.selection.interface import SelectionInputs
from datadiet.selection.ranking import (
  check_left,
  hardest_first,
  largest_first,
  num_cut,
)

# The concentration C of the Beta distribution, which Cho et al. 2025 fix.
_BETA_CONCENTRATION = 15.0
# mu of the paper is that of the highest-scored example; its authors' code
# averages the ten highest, which is the same quantity with less noise.
_NUM_ANCHORS = 10
# Half the spacing of float32 below 1: a mean confidence that rounded to 0 or 1
# must not give a density of zero or infinity.
_CONFIDENCE_MARGIN = 2.0**-25


def stratum_numbers(scores: np.ndarray, num_strata: int) -> np.ndarray:
  """Cuts the range of float64[N] scores into equal intervals: int64[N].

  The last interval is closed. (Widening the range by a factor above the
  maximum, as public code does, loses the top examples of scores that are all
  negative.)
  """
  lowest = scores.min()
  width = scores.max() - lowest
  if width == 0:
    return np.zeros(len(scores), np.int64)
  numbers = np.floor((scores - lowest) / width * num_strata).astype(np.int64)
  return np.minimum(numbers, num_strata - 1)


def stratum_budgets(stratum_sizes: np.ndarray, num_keep: int) -> np.ndarray:
  """Shares num_keep evenly over strata: int64[num_strata].

  Algorithm 1 of Zheng et al. 2023: from the smallest stratum to the largest,
  each gets an even share of what is still to be kept, or all it has.
  """
  budgets = np.zeros(len(stratum_sizes), np.int64)
  num_left = num_keep
  for rank, stratum in enumerate(np.argsort(stratum_sizes, kind='stable')):
    share = num_left // (len(stratum_sizes) - rank)
    budgets[stratum] = min(stratum_sizes[stratum], share)
    num_left -= budgets[stratum]
  return budgets


def ccs(
  inputs: SelectionInputs,
  num_keep: int,
  *,
  rng: np.random.Generator,
  cutoff_fraction: float,
  num_strata: int,
) -> np.ndarray:
  """Coverage-centric coreset selection (Zheng et al. 2023, arXiv 2210.15809).

  Cuts the hardest `cutoff_fraction` (the paper's beta), splits the score range
  of the rest into equal intervals, and draws evenly from these. The authors'
  code cuts by AUM whatever the score; here one score does both.
  """
  num_dropped = num_cut(cutoff_fraction, inputs.num_examples)
  candidates = np.sort(hardest_first(inputs)[num_dropped:])
  strata = stratum_numbers(inputs.array('scores')[candidates], num_strata)
  budgets = stratum_budgets(np.bincount(strata, minlength=num_strata), num_keep)
  kept = [
    rng.permutation(candidates[strata == stratum])[:budget]
    for stratum, budget in enumerate(budgets)
    if budget
  ]
  return np.sort(np.concatenate(kept))


def check_ccs(
  num_examples: int, num_keep: int, *, cutoff_fraction: float, num_strata: int
) -> None:
  """Raises DataDietError where the cut-off leaves fewer than num_keep.

  (The authors' code then silently keeps fewer.)
  """
  del num_strata
  left = num_examples - num_cut(cutoff_fraction, num_examples)
  how = f'cutting the hardest cutoff_fraction={cutoff_fraction}'
  check_left('ccs', how, left, num_examples, num_keep)


def beta_parameters(
  anchor_confidence: float, pruned_fraction: float, c_d: float
) -> tuple[float, float]:
  """alpha and beta of Cho et al. 2025 for one pruning ratio.

  With r the fraction pruned and mu the mean confidence of the highest-scored
  examples,

      beta = C (1 - mu) (1 - r^c_d),   alpha = C - beta,   C = 15,

  so the distribution's mean goes from mu when little is pruned to 1 (only easy
  examples) when nearly all is. The authors' code has alpha = 16 - beta, which
  shifts that mean; the paper's formula is followed.
  """
  beta_shape = (
    _BETA_CONCENTRATION * (1 - anchor_confidence) * (1 - pruned_fraction**c_d)
  )
  return _BETA_CONCENTRATION - beta_shape, beta_shape


def beta(
  inputs: SelectionInputs,
  num_keep: int,
  *,
  rng: np.random.Generator,
  c_d: float,
) -> np.ndarray:
  """Beta sampling (Cho et al. 2025, arXiv 2502.06905), meant for `dual`.

  Draws without replacement with probability proportional to the score times
  the Beta density at the example's mean confidence. An example with score
  zero is drawn only when no other is left.

  Raises:
    DataDietError: scores that are negative, or high for easy examples.
  """
  if inputs.higher_is == 'easier':
    raise DataDietError(
      "policy 'beta' draws high scores more often, so it cannot use scores "
      "whose higher_is is 'easier'; it is meant for 'dual'"
    )
  scores = inputs.array('scores')
  if scores.min() < 0:
    raise DataDietError(
      "policy 'beta' uses scores as weights, so they cannot be negative, but "
      f'the lowest is {scores.min()}'
    )
  confidence = np.clip(
    np.asarray(inputs.array('mean_confidence'), np.float64),
    _CONFIDENCE_MARGIN,
    1 - _CONFIDENCE_MARGIN,
  )
  anchors = largest_first(scores)[:_NUM_ANCHORS]
  alpha_shape, beta_shape = beta_parameters(
    float(confidence[anchors].mean()), 1 - num_keep / inputs.num_examples, c_d
  )
  log_density = (alpha_shape - 1) * np.log(confidence)
  log_density += (beta_shape - 1) * np.log1p(-confidence)
  positive = scores > 0
  log_weight = log_density + np.log(np.where(positive, scores, 1.0))
  # The largest sums of log weight and Gumbel noise are a draw without
  # replacement, with no weight small enough to vanish (Vieira 2014; Efraimidis
  # and Spirakis 2006).
  keys = log_weight + rng.gumbel(size=inputs.num_examples)
  order = np.lexsort((-keys, ~positive))
  return np.sort(order[:num_keep])
