"""How many labels are wrong, from the data alone: two ways to tell.

Both can be far too high, each where the other is not: `confident_issues` while
networks are weak, `mixture_issues` where no label is wrong and there are no two
groups to be told apart. So the smaller number is the better one.
"""

import dataclasses

import numpy as np

from datadiet.audit.blocks import PredProbs, blocks

# Steps of expectation maximisation, and when it has arrived.
_MAX_STEPS, _TOLERANCE = 200, 1e-6


def confident_issues(pred_probs: PredProbs, labels: np.ndarray) -> np.ndarray:
  """Labels against which a prediction is confident (confident learning).

  A prediction is confident of a class if its probability is at least the mean
  over the examples that have that class as label: each class has a threshold
  of its own, so classes that networks are less sure of are not blamed for it.
  None is below 1 / num_classes.
  Northcutt, Jiang and Chuang 2021, arXiv 1911.00068, section 3.1.

  Args:
    pred_probs: float32[N, num_classes], best of networks that did not train on
      the example.
    labels: int32[N].

  Returns:
    bool[N]: of the classes that the prediction is confident of, if any, the
    most probable one is not the label.
  """
  num_classes = pred_probs.shape[1]
  counts = np.bincount(labels, minlength=num_classes)
  own = pred_probs[np.arange(len(labels)), labels]
  sums = np.bincount(labels, own, minlength=num_classes)
  # Nobody is confident of a class by less than by guessing: of a class of one
  # example, which the others never saw, the mean may be 1e-8.
  means = np.maximum(sums / np.maximum(counts, 1), 1 / num_classes)
  # A class that no example has cannot be judged: none is confident of it.
  thresholds = np.where(counts > 0, means, np.inf)
  is_issue = np.empty(len(labels), bool)
  for rows in blocks(pred_probs):
    probs = pred_probs[rows]
    confident = np.where(probs >= thresholds, probs, -1.0)
    is_other = confident.argmax(1) != labels[rows]
    is_issue[rows] = (confident.max(1) >= 0) & is_other
  return is_issue


@dataclasses.dataclass(frozen=True)
class Groups:
  """Two groups of values, the lower one first.

  Attributes:
    means: float64[2], of the values as they were given.
    stds: float64[2].
    in_upper: bool[N], rather of the upper group.
  """

  means: np.ndarray
  stds: np.ndarray
  in_upper: np.ndarray


def two_groups(evidence: np.ndarray) -> Groups | None:
  """A mixture of two normal distributions, fitted to values.

  By expectation maximisation, as DivideMix does with losses (Li, Socher and Hoi
  2020, arXiv 2002.07394); logits come closer to normal.

  Args:
    evidence: float[N], higher where the label is more likely to be wrong, best
      on a logit scale.

  Returns:
    The groups; None if all values are the same.
  """
  values = np.asarray(evidence, np.float64)
  centre, spread = values.mean(), values.std()
  if not spread:
    return None
  values = (values - centre) / spread
  means = np.quantile(values, [0.25, 0.95])
  stds, shares = np.ones(2), np.full(2, 0.5)
  before = -np.inf
  for _ in range(_MAX_STEPS):
    densities = shares * np.exp(-0.5 * ((values[:, None] - means) / stds) ** 2)
    densities /= stds
    total = densities.sum(1, keepdims=True) + 1e-300
    belongs = densities / total
    weights = belongs.sum(0) + 1e-12
    means = (belongs * values[:, None]).sum(0) / weights
    deviations = (values[:, None] - means) ** 2
    variances = (belongs * deviations).sum(0) / weights
    stds = np.sqrt(np.maximum(variances, 1e-6))
    shares = weights / len(values)
    fit = np.log(total).mean()
    if fit - before < _TOLERANCE:
      break
    before = fit
  order = np.argsort(means, kind='stable')
  # The wider of two normal densities wins at both ends: only one counts.
  in_upper = (belongs[:, means.argmax()] > 0.5) & (values > means.min())
  return Groups(
    means=centre + spread * means[order],
    stds=spread * stds[order],
    in_upper=in_upper,
  )


def mixture_issues(evidence: np.ndarray) -> np.ndarray:
  """The upper of `two_groups` of labels, bool[N]; of none if there is one."""
  groups = two_groups(evidence)
  return np.zeros(len(evidence), bool) if groups is None else groups.in_upper
