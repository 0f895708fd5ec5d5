"""How many examples of each class are kept."""

import numpy as np

from datadiet.errors import DataDietError
from datadiet.selection.ranking import hardness

# What `select.budget` may be; '' leaves it to the policy.
PROPORTIONAL, BALANCED = 'proportional', 'balanced'
DIFFICULTY, WORST_CLASS = 'difficulty', 'worst_class'
BUDGETS = (PROPORTIONAL, BALANCED, DIFFICULTY, WORST_CLASS)
# The share of a class's scores at either end that is brought to the next.
_WINSORIZED = 0.05


def class_quotas(num_keep: int, num_classes: int) -> np.ndarray:
  """Splits num_keep as evenly as possible: int64[num_classes].

  The remainder goes, one each, to the lowest class numbers, so that no quota
  ever falls when num_keep grows.
  """
  quotas = np.full(num_classes, num_keep // num_classes, np.int64)
  quotas[: num_keep % num_classes] += 1
  return quotas


def can_balance(num_keep: int, class_sizes: np.ndarray) -> bool:
  """Whether a class-balanced selection of that size is possible.

  Args:
    num_keep: how many to keep.
    class_sizes: int[num_classes], the examples of each class.
  """
  return bool((class_sizes >= class_quotas(num_keep, len(class_sizes))).all())


def balanced_quotas(num_keep: int, sizes: np.ndarray) -> np.ndarray:
  """As `class_quotas`, once no class is too small: int64[num_classes].

  Raises:
    DataDietError: a class has fewer.
  """
  quotas = class_quotas(num_keep, len(sizes))
  if (sizes < quotas).any():
    label = int(np.flatnonzero(sizes < quotas)[0])
    raise DataDietError(
      f'a class-balanced selection of {num_keep} examples needs '
      f'{quotas[label]} of class {label}, which has {sizes[label]}'
    )
  return quotas


def proportional_quotas(num_keep: int, sizes: np.ndarray) -> np.ndarray:
  """Shares num_keep over groups in proportion to their sizes: int64[groups].

  Places go, one after the other, to the group whose next place is the lowest
  (i + 1/2) / size (Webster's method), ties to the first group: no quota is
  above its size, and none ever falls when num_keep grows.

  Args:
    num_keep: at most the sum of the sizes.
    sizes: int[groups].
  """
  return weighted_quotas(num_keep, sizes, np.ones(len(sizes)))


def weighted_quotas(
  num_keep: int, sizes: np.ndarray, weights: np.ndarray
) -> np.ndarray:
  """Shares num_keep in proportion to sizes times weights: int64[groups].

  A group that would get more than it has gets all, and the others share the
  rest, which is the algorithm of DRoP; rounded by Webster's method, as in
  `proportional_quotas`.

  Args:
    num_keep: at most the sum of the sizes.
    sizes: int[groups].
    weights: float[groups], 0 or more; groups of weight 0 get something once all
      others have all, in proportion to their sizes.
  """
  weights = np.asarray(weights, np.float64)
  groups = np.repeat(np.arange(len(sizes)), sizes)
  starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
  # 2 i + 1 over size; a quotient is rounded once, so that ties stay ties.
  places = (2 * (np.arange(len(groups)) - starts) + 1) / sizes[groups]
  last = weights[groups] == 0
  places /= np.where(last, 1.0, weights[groups])
  first = np.lexsort((places, last))[:num_keep]
  return np.bincount(groups[first], minlength=len(sizes))


def class_difficulties(
  scores: np.ndarray, higher_is: str, labels: np.ndarray, num_classes: int
) -> np.ndarray:
  """The winsorized mean of each class's scores: float64[num_classes].

  NUCS (Zhang et al. 2025, arXiv 2504.13234). Scores are brought to [0, 1], hard
  ones high, and those of the 5 % at either end of a class to the value next to
  them. The paper's own share at the ends was not to be had.

  Args:
    scores: float[N].
    higher_is: 'harder' or 'easier'.
    labels: int[N].
    num_classes: number of classes; 0 for one without examples.
  """
  values = hardness(scores, higher_is)
  means = np.zeros(num_classes)
  for label in np.unique(labels):
    own = np.sort(values[labels == label])
    num_ends = int(_WINSORIZED * len(own))
    bounds = own[num_ends], own[len(own) - 1 - num_ends]
    means[label] = np.clip(own, *bounds).mean()
  return means


def class_errors(
  pred_probs: np.ndarray, labels: np.ndarray, num_classes: int
) -> np.ndarray:
  """The error of each class, from its predictions: float64[num_classes].

  The rule of succession, (wrong + 1) / (N_k + 2): that of 500 examples none is
  wrong does not show that none ever will be, and DRoP's own share of 0 would
  keep nothing of such a class beside others. A class of which none, and one of
  which one of 500 is wrong differ by a factor of 2, and of large shares little
  changes.

  Args:
    pred_probs: float[N, num_classes].
    labels: int[N].
    num_classes: number of classes.
  """
  wrong = pred_probs.argmax(axis=1) != labels
  counts = np.bincount(labels, minlength=num_classes)
  return (np.bincount(labels, wrong, num_classes) + 1) / (counts + 2)


def class_budgets(
  budget: str,
  num_keep: int,
  sizes: np.ndarray,
  weights: np.ndarray | None = None,
) -> np.ndarray:
  """How many of each class to keep: int64[num_classes].

  Args:
    budget: one of `BUDGETS`.
    num_keep: how many to keep in all.
    sizes: int[num_classes], the examples of each class.
    weights: float64[num_classes], `class_difficulties` for 'difficulty' and
      `class_errors` for 'worst_class' (DRoP, Vysogorets et al. 2025, arXiv
      2404.05579: quotas in proportion to N_k (1 - r_k), r_k the recall on
      examples that were not trained on).

  Raises:
    DataDietError: a class has fewer than balanced classes need.
  """
  if budget == BALANCED:
    return balanced_quotas(num_keep, sizes)
  if weights is None:
    return proportional_quotas(num_keep, sizes)
  return weighted_quotas(num_keep, sizes, weights)
