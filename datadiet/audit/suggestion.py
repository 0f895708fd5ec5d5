"""Suggested labels, from the networks' predictions."""

import numpy as np

from datadiet.audit.blocks import PredProbs


def most_probable(pred_probs: PredProbs) -> np.ndarray:
  """The class of the largest probability, int32[N].

  Args:
    pred_probs: float32[N, num_classes].
  """
  return pred_probs.argmax(1).astype(np.int32)


def most_voted(predictions: np.ndarray) -> np.ndarray:
  """The class that most runs predict, int32[N].

  The only rule for ties: of the classes with equally many votes the one that
  comes first in the order of the runs. So 5, 3 gives 5, and 2, 3, 5, 3, 5 gives
  3; how classes are numbered plays no part.

  Args:
    predictions: int32[num_runs, N].
  """
  votes = (predictions[:, None] == predictions[None]).sum(1)
  best = votes.argmax(0)
  return predictions[best, np.arange(predictions.shape[1])].astype(np.int32)
