"""Whether recorded predictions are of the examples that they are given for."""

import numpy as np
from absl import logging

from datadiet.errors import ConfigError

# Standard deviations above what rows in any order give.
_BEYOND_CHANCE = 3.0
# Where these are more than so much accuracy, there are too few examples to tell
# a bad join from a weak network.
_LEAST_CERTAIN = 0.05


def check_agreement(
  pred_probs: np.ndarray, labels: np.ndarray, source: str
) -> None:
  """Logs how often predictions are right, and refuses those of a bad join.

  Predictions of one class alone are right as often in any order: of these no
  order can be told, and none is refused. Of few examples it is only warned of.

  Args:
    pred_probs: float32[N, num_classes], of the last epoch.
    labels: int32[N].
    source: flag and file, for messages.

  Raises:
    ConfigError: if they are right no more often than in a random order.
  """
  predicted = pred_probs.argmax(1)
  accuracy = float((predicted == labels).mean())
  logging.info(
    '%s: the last epoch predicts %.2f %% of the labels', source, 100 * accuracy
  )
  chance, spread = _in_random_order(predicted, labels, pred_probs.shape[1])
  least = _BEYOND_CHANCE * spread
  if not spread or accuracy > chance + least:
    return
  found = (
    f'{source}: the last epoch predicts {accuracy:.1%} of the labels, no more '
    f'than by chance ({chance:.1%}), as rows of other examples would'
  )
  join = "rows in the data set's own order, or with the id of each row by --ids"
  if least <= _LEAST_CERTAIN:
    raise ConfigError(f'{found}; allowed: {join}')
  logging.warning(
    '%s; %d examples are too few to be sure. Expected: %s',
    found,
    len(labels),
    join,
  )


def _in_random_order(
  predicted: np.ndarray, labels: np.ndarray, num_classes: int
) -> tuple[float, float]:
  """Mean and standard deviation of the accuracy of shuffled predictions.

  Hoeffding 1951, A combinatorial central limit theorem: the variance of a sum
  over a random permutation.
  """
  shares = [
    np.bincount(classes, minlength=num_classes) / len(labels)
    for classes in (predicted, labels)
  ]
  of_predicted, of_labels = shares
  mean = of_predicted @ of_labels
  deviation = np.eye(num_classes) - of_labels[:, None] - of_predicted + mean
  variance = float(of_predicted @ np.square(deviation) @ of_labels)
  if variance < 1e-12:  # What is left of exactly nothing.
    variance = 0.0
  return float(mean), float(np.sqrt(variance / max(1, len(labels) - 1)))
