"""How suspicious a label is: the mean of what several pieces of evidence say.

Evidence has scales of its own (logits, probabilities, counts), so what is
averaged are ranks.
"""

from collections.abc import Sequence

import numpy as np

# The scores of early training that tell wrong labels from hard examples, the
# best first: those of all training visits before those of one checkpoint, and
# fine ones before counts.
EVIDENCE = (
  'aum',
  'mean_confidence',
  'loss',
  'el2n',
  'confidence',
  'max_margin',
  'sum_margin',
  'el1n',
  'correctness',
  'grand',
  'grand_last',
  'first_learned',
  'forgetting',
  'never_learned',
)


def label_margin(pred_probs: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """p_y minus the largest other probability, float32[N], in [-1, 1].

  Args:
    pred_probs: float32[N, num_classes].
    labels: int32[N].
  """
  rows = np.arange(len(labels))
  others = pred_probs.copy()
  others[rows, labels] = -np.inf
  return pred_probs[rows, labels] - others.max(1)


def percentile_ranks(values: np.ndarray) -> np.ndarray:
  """The share of examples below each, those that tie counted half.

  Args:
    values: float[N], without NaN.

  Returns:
    float64[N] in (0, 1); its mean is 0.5.
  """
  _, group, counts = np.unique(values, return_inverse=True, return_counts=True)
  below = np.cumsum(counts) - counts
  return ((below + 0.5 * counts) / len(values))[group]


def suspicion(evidence: Sequence[np.ndarray]) -> np.ndarray:
  """How suspicious each label is, the mean of its percentile ranks.

  Args:
    evidence: at least one float[N] without NaN, each higher where the label is
      more likely to be wrong.

  Returns:
    float32[N] in (0, 1): 0.97 for a label that is more suspicious than 97 % of
    the others in every respect. It orders labels; it is no probability.
  """
  ranks = [percentile_ranks(values) for values in evidence]
  return np.mean(ranks, axis=0).astype(np.float32)
