"""How suspicious a label is: the mean over all evidence.

Evidence has scales of its own (logits, norms, counts), so what is averaged are
ranks.
"""

from collections.abc import Sequence

import numpy as np


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


def most_suspicious(
  suspicion: np.ndarray, num_issues: int, candidates: np.ndarray
) -> np.ndarray:
  """Marks the most suspicious labels; ties go to the lower index.

  Args:
    suspicion: float32[N].
    num_issues: how many to take; fewer if there are too few candidates.
    candidates: bool[N], the labels that may be taken.

  Returns:
    bool[N].
  """
  order = np.argsort(-suspicion, kind='stable')
  order = order[candidates[order]]
  is_issue = np.zeros(len(suspicion), bool)
  is_issue[order[:num_issues]] = True
  return is_issue
