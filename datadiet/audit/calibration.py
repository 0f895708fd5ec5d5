"""The probability that a label is wrong, from labels changed on purpose.

What networks that did not train on an example say of its label they would say
just so of any other label. So wrong labels can be made at no cost, by the
estimated noise, and how suspicious they look is known. Labels in use are a
mixture of such and of right ones. No more of them can be wrong than look as
suspicious as wrong labels do; and among the most suspicious, where hardly any
right one lies, as many are.
"""

import dataclasses
from collections.abc import Iterator

import numpy as np

from datadiet.audit.blocks import PredProbs, blocks
from datadiet.audit.noise import noise_matrix, odds_of_labels
from datadiet.errors import DataDietError

# Wrong labels are counted in as many groups of equal size by their log odds,
# and the share of wrong ones by at least so many of these.
_NUM_GROUPS, _MIN_GROUPS = 40, 4
# If at least this part of all noise is common to all pairs of classes, what
# some have beyond it is taken for a confusion of networks, and not of people.
_SHARE_IN_COMMON = 0.5
# Log odds are told apart in such steps between these ends.
_GRID = np.linspace(-16, 16, 3201)
_EDGES = np.concatenate([[-np.inf], _GRID, [np.inf]])
_BLOCK = 20_000
# Of labels in use, so many look less suspicious than one that is wrong on
# purpose where networks learnt anything (docs/audit.md).
ENOUGH_SEPARATION = 0.65
# Probabilities from which on labels are counted.
_CUTS = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)


@dataclasses.dataclass(frozen=True)
class Calibration:
  """How probable wrong labels are among those in use.

  Attributes:
    log_odds: float64[N], that the label in use is wrong, before calibration:
      they order labels.
    noise: from `noise_matrix`, or the same for all pairs of classes.
    is_uniform: whether it is.
    noise_rate: the share of wrong labels, in [0, 1].
    separation: the share of labels in use that look less suspicious than one
      that is wrong on purpose: 0.5 of networks that learnt nothing.
    shares: float64[num_groups], ascending: of labels that are less suspicious
      than those of the group that are most so.
    probabilities: float64[num_groups], that the labels of the group are wrong.
  """

  log_odds: np.ndarray
  noise: np.ndarray
  is_uniform: bool
  noise_rate: float
  separation: float
  shares: np.ndarray
  probabilities: np.ndarray

  def probability(self, ranks: np.ndarray) -> np.ndarray:
    """The probability that labels are wrong, float32[N].

    Args:
      ranks: float[N] in (0, 1), the share of labels that are less suspicious,
        by these log odds or by what orders labels better.
    """
    group = np.searchsorted(self.shares, ranks).clip(max=len(self.shares) - 1)
    return self.probabilities[group].astype(np.float32)


def calibrate(pred_probs: PredProbs, labels: np.ndarray) -> Calibration:
  """Learns from labels changed on purpose how probable wrong ones are.

  The share of wrong labels is the best bin estimate of Garg et al. 2021 (arXiv
  2111.00980): the least share of labels in use, over that of wrong ones, among
  the most suspicious.

  Args:
    pred_probs: float[N, num_classes], of networks that did not train on the
      example.
    labels: int[N], in use.

  Raises:
    DataDietError: if a prediction is not finite.
  """
  num_classes = pred_probs.shape[1]
  any_pair = _any_pair(num_classes, 0.5)
  found = _counted(pred_probs, labels, any_pair, as_predicted=True)
  common_rate, _, _ = _mixture(*found[1:])
  # One label at least, so that there are wrong ones to compare with.
  common_rate = max(common_rate, 1 / len(labels))
  noise = noise_matrix(pred_probs, labels, common_rate)
  found = _counted(pred_probs, labels, noise)
  noise_rate, shares, probabilities = _mixture(*found[1:])
  is_uniform = common_rate >= _SHARE_IN_COMMON * noise_rate
  if is_uniform:
    noise = _any_pair(num_classes, common_rate)
    found = _counted(pred_probs, labels, noise)
    noise_rate, shares, probabilities = _mixture(*found[1:])
  log_odds, in_use, wrong = found
  below = np.cumsum(in_use) - in_use / 2
  separation = float(np.sum(wrong * below) / (wrong.sum() * in_use.sum()))
  return Calibration(
    log_odds,
    noise,
    is_uniform,
    noise_rate,
    separation,
    shares,
    probabilities,
  )


def _any_pair(num_classes: int, noise_rate: float) -> np.ndarray:
  """Noise that mixes up all pairs of classes equally often."""
  noise_rate = min(noise_rate, 0.5)
  noise = np.full((num_classes, num_classes), noise_rate / (num_classes - 1))
  np.fill_diagonal(noise, 1 - noise_rate)
  return noise


def _counted(
  pred_probs: PredProbs,
  labels: np.ndarray,
  noise: np.ndarray,
  as_predicted: bool = False,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Log odds of the labels in use, and histograms of them and of wrong ones.

  Args:
    pred_probs: float[N, num_classes].
    labels: int[N].
    noise: from `noise_matrix`.
    as_predicted: whether all other labels are equally often given by mistake,
      and predictions are taken for those of the true class.

  Returns:
    float64[N]; float64[len(_GRID) + 1], the number of labels in use; and
    likewise of those that each example might be given by mistake.
  """
  log_odds = np.empty(len(labels))
  in_use, wrong = np.zeros((2, len(_GRID) + 1))
  found = (
    _as_predicted(pred_probs)
    if as_predicted
    else odds_of_labels(pred_probs, noise, _BLOCK)
  )
  for examples, odds, weights in found:
    given = labels[examples]
    rows = np.arange(len(given))
    log_odds[examples] = own = odds[rows, given]
    in_use += np.bincount(_cells(own), minlength=len(in_use))
    # The label in use is not one that was changed.
    weights[rows, given] = 0
    cells = _cells(odds).ravel()
    wrong += np.bincount(cells, weights.ravel(), minlength=len(wrong))
  return log_odds, in_use, wrong


def _as_predicted(
  pred_probs: PredProbs,
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
  """As `odds_of_labels`, of noise that gives all labels equally often."""
  for rows in blocks(pred_probs, _BLOCK):
    probs = np.asarray(pred_probs[rows], np.float64)
    is_finite = np.isfinite(probs).all(axis=1)
    if not is_finite.all():
      example = int(is_finite.argmin())
      raise DataDietError(
        'predictions have to be finite, but those of example_index '
        f'{rows.start + example} are {probs[example].tolist()!s:.80}'
      )
    probs = np.clip(probs, 1e-7, 1 - 1e-7)
    yield rows, np.log1p(-probs) - np.log(probs), np.ones(probs.shape)


def _cells(odds: np.ndarray) -> np.ndarray:
  """As np.digitize(odds, _GRID), in less time since its steps are equal."""
  steps = (odds - _GRID[0]) * ((len(_GRID) - 1) / (_GRID[-1] - _GRID[0]))
  cells = np.clip(steps + 1, 0, len(_GRID)).astype(np.int64)
  # Rounding may have led to the next one.
  cells -= odds < _EDGES[cells]
  cells += odds >= _EDGES[cells + 1]
  return cells


def _mixture(
  in_use: np.ndarray, wrong: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
  """The share of wrong labels, and how probable they are along their order.

  Args:
    in_use: from `_counted`.
    wrong: likewise.

  Returns:
    As the attributes noise_rate, shares and probabilities of `Calibration`.
  """
  num_labels = in_use.sum()
  below = np.cumsum(wrong) / wrong.sum()
  group = np.minimum((below * _NUM_GROUPS).astype(int), _NUM_GROUPS - 1)
  in_group = np.bincount(group, in_use, minlength=_NUM_GROUPS) / num_labels
  wrong_in_group = (
    np.bincount(group, wrong, minlength=_NUM_GROUPS) / wrong.sum()
  )
  # From the most suspicious group down.
  above, wrong_above = np.cumsum(
    np.stack([in_group, wrong_in_group])[:, ::-1], 1
  )
  usable = wrong_above >= (_MIN_GROUPS - 0.5) / _NUM_GROUPS
  above, wrong_above = above[usable], wrong_above[usable]
  careful = above + 0.5 * np.sqrt(above * (1 - above).clip(0) / num_labels)
  # The most groups that are as good: the least of many is least by chance.
  as_good = above / wrong_above <= (careful / wrong_above).min()
  best = np.flatnonzero(as_good)[-1]
  noise_rate = float(min(1.0, above[best] / wrong_above[best]))
  # Groups without a label in use count with the next below.
  weights = np.maximum(in_group, 1e-9)
  # Imported late: it takes 60 MB, and every start imports this room.
  from scipy import optimize

  fitted = optimize.isotonic_regression(
    noise_rate * wrong_in_group / weights, weights=weights
  )
  return noise_rate, np.cumsum(in_group), np.minimum(1, fitted.x)


def expected_precision(probability: np.ndarray) -> list[dict[str, float]]:
  """How many labels are looked at, and how many of them are wrong, by cuts.

  Args:
    probability: float[N], that labels are wrong.

  Returns:
    For each cut at_least, a probability; num_labels of at least that; and
    expected_precision, the share of these that is expected to be wrong, where
    there are any.
  """
  found = []
  for cut in _CUTS:
    chosen = probability[probability >= cut]
    if len(chosen):
      found.append(
        {
          'at_least': cut,
          'num_labels': len(chosen),
          'expected_precision': float(chosen.mean()),
        }
      )
  return found
