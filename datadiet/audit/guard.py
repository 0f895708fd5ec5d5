"""Whether networks know enough for wrong labels to be counted.

A label is declared wrong only where a prediction differs from it. Networks that
know little differ nearly everywhere, whatever the labels: what would be counted
are their own mistakes. The ranking is then still the best there is.

Either they agree with most labels, or, where too many labels are wrong for
that, the labels make two groups that are far apart: one that networks confirm
and one that they reject.
"""

import numpy as np

from datadiet.audit.blocks import PredProbs
from datadiet.audit.evidence import odds_against, of_predictions
from datadiet.audit.threshold import two_groups

# The share of labels that predictions have to agree with. Measured on digits
# (docs/audit.md): below, of labels that are all right 6 to 34 % are declared
# wrong; of data with a fifth of wrong labels, networks that know it reach 0.74.
ENOUGH_ACCURACY = 0.7
# Of two groups of labels, by the log odds against each label over those of
# drawing its class at random. The means that say that a label is confirmed, and
# that it is rejected; the distance in standard deviations, for which Ashman,
# Bird and Zepf 1994 (AJ 108, 2348) ask for a mixture of two modes.
_CONFIRMED, _REJECTED, _APART = -1.0, 0.0, 2.0
# A class of which more than this share is rejected is one that networks do not
# know, and the share of all examples that may be of such classes.
_SHARE_OF_CLASS, _SHARE_UNKNOWN = 0.75, 0.01


def enough_accuracy(labels: np.ndarray) -> float:
  """The accuracy from which on wrong labels can be counted, in (0, 1].

  At least ENOUGH_ACCURACY, and halfway from what always saying the most
  frequent class reaches to 1: of two equal classes, guessing gets half.

  Args:
    labels: int32[N].
  """
  most_frequent = np.bincount(labels).max() / len(labels)
  return max(ENOUGH_ACCURACY, (1 + most_frequent) / 2)


def groups_are_apart(pred_probs: PredProbs, labels: np.ndarray) -> bool:
  """Whether predictions confirm some labels and clearly reject others.

  Args:
    pred_probs: float32[N, num_classes], of networks that did not train on the
      example.
    labels: int32[N], in use.
  """
  counts = np.bincount(labels, minlength=pred_probs.shape[1])
  by_chance = odds_against(counts / len(labels))
  groups = two_groups(of_predictions(pred_probs, labels) - by_chance[labels])
  if groups is None:
    return False
  (confirmed, rejected), stds = groups.means, groups.stds
  distance = (rejected - confirmed) / np.sqrt(np.mean(np.square(stds)))
  num_rejected = np.bincount(labels, groups.in_upper, minlength=len(counts))
  is_unknown = num_rejected > _SHARE_OF_CLASS * counts
  return bool(
    confirmed < _CONFIRMED
    and rejected > _REJECTED
    and distance > _APART
    and counts[is_unknown].sum() <= _SHARE_UNKNOWN * len(labels)
  )


def too_little_known(
  accuracy: float,
  labels: np.ndarray,
  of_what: str,
  pred_probs: PredProbs | None = None,
) -> str | None:
  """A warning if networks know too little to count wrong labels, or None.

  Args:
    accuracy: of their predictions, in [0, 1].
    labels: int32[N], in use.
    of_what: the examples that it was measured on, in words.
    pred_probs: float32[N, num_classes], of networks that did not train on the
      example; None where there are none.
  """
  enough = enough_accuracy(labels)
  if accuracy >= enough:
    return None
  both, then = '', 'train by folds (config.train.folds)'
  if pred_probs is not None:
    if groups_are_apart(pred_probs, labels):
      return None
    both = ', and do not tell two groups of labels apart'
    then = 'look at the ranking'
  return (
    f'The networks agree with {100 * accuracy:.0f} % of the labels of '
    f'{of_what}{both}: below {100 * enough:.0f} % far too many would be '
    'declared wrong. So labels are ranked but not counted; train longer, or, '
    f'if so many labels are wrong, {then}'
  )
