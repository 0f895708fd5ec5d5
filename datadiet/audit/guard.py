"""Whether networks are accurate enough for wrong labels to be counted.

A label is declared wrong only where a prediction differs from it. Networks that
know little differ nearly everywhere, whatever the labels: what would be counted
are their own mistakes. The ranking is then still the best there is.
"""

import numpy as np

# The share of labels that predictions have to agree with. Measured on digits
# (docs/audit.md): below, of labels that are all right 6 to 34 % are declared
# wrong; of data with a fifth of wrong labels, networks that know it reach 0.74.
ENOUGH_ACCURACY = 0.7


def enough_accuracy(labels: np.ndarray) -> float:
  """The accuracy from which on wrong labels can be counted, in (0, 1].

  At least ENOUGH_ACCURACY, and halfway from what always saying the most
  frequent class reaches to 1: of two equal classes, guessing gets half.

  Args:
    labels: int32[N].
  """
  most_frequent = np.bincount(labels).max() / len(labels)
  return max(ENOUGH_ACCURACY, (1 + most_frequent) / 2)


def too_little_known(
  accuracy: float, labels: np.ndarray, of_what: str
) -> str | None:
  """A warning if networks are too inaccurate to count wrong labels, or None.

  Args:
    accuracy: of their predictions, in [0, 1].
    labels: int32[N], in use.
    of_what: the examples that it was measured on, in words.
  """
  enough = enough_accuracy(labels)
  if accuracy >= enough:
    return None
  return (
    f'The networks agree with {100 * accuracy:.0f} % of the labels of '
    f'{of_what}, and below {100 * enough:.0f} % far too many would be declared '
    'wrong: labels are ranked but not counted; train longer, or, if so many '
    'labels are wrong, look at the ranking'
  )
