"""How labels are made wrong: how often each class is given another's label.

Networks that were trained on such labels predict them: where a third of the
cats are called dogs, a cat looks like a dog by a third. How often that happens
shows in the images that look least like a dog of those that are taken for cats:
whatever share of these is called dogs even so is a wrong label.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from datadiet.audit.blocks import PredProbs, blocks
from datadiet.audit.rates import for_products

# Labels of the two classes that a rate is counted of at least, and of the wrong
# one below which a pair's own rate is not looked for.
_MIN_LABELS, _MIN_WRONG = 50, 3
_NUM_STEPS = 3
_TINY = 1e-7


def noise_matrix(
  pred_probs: PredProbs, labels: np.ndarray, noise_rate: float
) -> np.ndarray:
  """The probability of each label, given the true class.

  After the anchor points of Patrini et al. 2017 (arXiv 1609.03683, section
  3.2), counted in labels instead of read from one prediction, and drawn towards
  noise that is the same for all pairs by what the networks do not know.

  Args:
    pred_probs: float[N, num_classes], of networks that did not train on the
      example.
    labels: int[N], in use.
    noise_rate: the share of wrong labels if all pairs of classes are mixed up
      equally often, in [0, 1].

  Returns:
    float64[num_classes, num_classes]; rows are true classes and sum to 1.
  """
  num_classes = pred_probs.shape[1]
  predicted = pred_probs.argmax(1)
  counts = np.zeros((num_classes, num_classes), np.int64)
  np.add.at(counts, (predicted, labels), 1)
  everywhere = noise_rate / max(num_classes - 1, 1)
  rates = np.full((num_classes, num_classes), everywhere)
  odds = np.full((num_classes, num_classes), everywhere)
  order = np.argsort(predicted, kind='stable')
  ends = np.cumsum(counts.sum(1))
  for true, label in np.argwhere(counts >= _MIN_WRONG):
    if true != label:
      members = order[ends[true] - counts[true].sum() : ends[true]]
      likeness = pred_probs[members, label] / np.maximum(
        pred_probs[members, true], _TINY
      )
      odds[true, label] = _odds(likeness, labels[members], true, label)
  np.fill_diagonal(odds, 1.0)
  noise = odds / odds.sum(1, keepdims=True)
  # Networks mix up classes themselves, the more the less they know.
  factor = for_products(noise, pred_probs)
  sure = [
    true_classes(pred_probs[rows], factor).max(1) for rows in blocks(pred_probs)
  ]
  known = np.concatenate(sure).mean()
  rates += known * np.maximum(noise - everywhere, 0)
  np.fill_diagonal(rates, 0)
  # A class that is wrong more often than right would change names.
  rates *= np.minimum(1, 0.5 / np.maximum(rates.sum(1, keepdims=True), _TINY))
  np.fill_diagonal(rates, 1 - rates.sum(1))
  return rates


def _odds(
  likeness: np.ndarray, labels: np.ndarray, true: int, label: int
) -> float:
  """How many are labelled `label` for one that is labelled `true`.

  Of those that look least like `label`, as many as make that least.

  Args:
    likeness: float[n], how much more probable `label` is than `true`, of the
      examples predicted `true`.
    labels: int[n].
    true: the class.
    label: another.
  """
  is_either = (labels == true) | (labels == label)
  order = np.argsort(likeness[is_either], kind='stable')
  is_wrong = labels[is_either][order] == label
  numbers = np.arange(1, len(order) + 1)
  shares = np.cumsum(is_wrong) / numbers
  # Few labels make a small share by chance: it is the upper end that counts.
  careful = (shares * numbers + 1) / (numbers + 2)
  careful += np.sqrt(careful * (1 - careful) / numbers)
  first = min(_MIN_LABELS, len(order)) - 1
  share = shares[first + careful[first:].argmin()]
  return float(share / max(1 - share, _TINY))


def true_classes(pred_probs: np.ndarray, noise: Any) -> np.ndarray:
  """What predictions of labels say of the true classes, float64[N, classes].

  A few steps of expectation maximisation from the predictions, towards classes
  whose labels would be as predicted; all the way there, it would exaggerate
  what was predicted by chance.

  Args:
    pred_probs: float[N, num_classes].
    noise: from `noise_matrix`, or what `for_products` makes of it.
  """
  predicted = np.maximum(np.asarray(pred_probs, np.float64), _TINY)
  classes = predicted / predicted.sum(1, keepdims=True)
  for _ in range(_NUM_STEPS):
    classes = classes * ((predicted / (classes @ noise)) @ noise.T)
    classes /= classes.sum(1, keepdims=True)
  return classes


def odds_of_labels(
  pred_probs: PredProbs, noise: np.ndarray, most: int | None = None
) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
  """How likely each label would be wrong, if it were given.

  Args:
    pred_probs: float[N, num_classes].
    noise: from `noise_matrix`.
    most: examples at a time, as of `blocks`.

  Yields:
    For one block of n examples after the other: which these are; log odds that
    the label is wrong, and the probability that the example is given that label
    by mistake, taken for the most probable class: float64[n, num_classes] each.
  """
  right = np.diag(noise)
  mistakes = noise - np.diag(right)
  of_noise = for_products(noise, pred_probs)
  of_mistakes = for_products(mistakes, pred_probs)
  for rows in blocks(pred_probs, most):
    classes = true_classes(pred_probs[rows], of_noise)
    by_mistake = np.log(classes @ of_mistakes + _TINY)
    log_odds = by_mistake - np.log(classes * right + _TINY)
    yield rows, log_odds, mistakes[classes.argmax(1)]


def odds_against_labels(
  pred_probs: PredProbs, labels: np.ndarray, noise: np.ndarray
) -> np.ndarray:
  """The log odds that the labels in use are wrong, float64[N].

  Args:
    pred_probs: float[N, num_classes].
    labels: int[N].
    noise: from `noise_matrix`.
  """
  found = np.empty(len(labels))
  for rows, log_odds, _ in odds_of_labels(pred_probs, noise):
    given = labels[rows]
    found[rows] = log_odds[np.arange(len(given)), given]
  return found
