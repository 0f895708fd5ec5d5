"""Evidence for wrong labels: one score of training, and predictions.

Evidence is an array in which more is worse. Where it can be, it is on a logit
scale, on which right and wrong labels make two groups of about normal shape.
"""

from collections.abc import Callable, Iterable

import numpy as np

from datadiet.audit.blocks import PredProbs

# Probabilities are kept this far from 0 and 1, where float32 has no digits.
_TINY = 1e-7
# Visits from which on what happened in all of training says more than what the
# network says now. Before, the first visits, in which nothing was learned yet,
# weigh too much; long after, even wrong labels are learned by heart.
MIN_VISITS = 12


def odds_against(probabilities: np.ndarray) -> np.ndarray:
  """log((1 - p) / p), float64[N], of float[N] probabilities of the label."""
  p = np.clip(np.asarray(probabilities, np.float64), _TINY, 1 - _TINY)
  return np.log1p(-p) - np.log(p)


def _odds_of_loss(loss: np.ndarray) -> np.ndarray:
  return odds_against(np.exp(-np.asarray(loss, np.float64)))


def _higher_is_worse(score: np.ndarray) -> np.ndarray:
  return np.asarray(score, np.float64)


def _lower_is_worse(score: np.ndarray) -> np.ndarray:
  return -np.asarray(score, np.float64)


# Scores of all training visits, and of one network, the best first.
_OF_VISITS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  'aum': _lower_is_worse,
  'mean_confidence': odds_against,
  'accumulated_margin': _lower_is_worse,
}
OF_ONE_NETWORK: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  'loss': _odds_of_loss,
  'confidence': odds_against,
  'el2n': _higher_is_worse,
  'el1n': _higher_is_worse,
  'sum_margin': _higher_is_worse,
  'max_margin': _higher_is_worse,
  'grand': _higher_is_worse,
  'grand_last': _higher_is_worse,
}
# Counts, in which many examples tie: better than nothing.
_COUNTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  'correctness': _lower_is_worse,
  'first_learned': _higher_is_worse,
  'forgetting': _higher_is_worse,
  'never_learned': _higher_is_worse,
}
EVIDENCE = {**_OF_VISITS, **OF_ONE_NETWORK, **_COUNTS}


def best_score(names: Iterable[str], num_visits: float) -> str | None:
  """The score that tells wrong labels best; None if none of them can.

  Args:
    names: of the scores there are.
    num_visits: how often training has visited each example, on average.
  """
  order = [*OF_ONE_NETWORK, *_OF_VISITS, *_COUNTS]
  if num_visits >= MIN_VISITS:
    order = [*_OF_VISITS, *OF_ONE_NETWORK, *_COUNTS]
  names = set(names)
  return next((name for name in order if name in names), None)


def of_predictions(pred_probs: PredProbs, labels: np.ndarray) -> np.ndarray:
  """How sure the predictions are that the labels are wrong, float64[N].

  Args:
    pred_probs: float32[N, num_classes].
    labels: int32[N].
  """
  return odds_against(pred_probs[np.arange(len(labels)), labels])
