"""CLD: how an example's loss moves with that of held-out data of its class."""

import numpy as np

# Fewer differences than this correlate by chance.
MIN_STEPS = 4


def class_curves(
  losses: np.ndarray, labels: np.ndarray, num_classes: int
) -> np.ndarray:
  """The mean losses of each class: float64[steps, num_classes].

  A class without examples has the mean of all.

  Args:
    losses: float[steps, num], of held-out examples.
    labels: int[num].
    num_classes: number of classes.
  """
  is_of = labels[:, None] == np.arange(num_classes)
  counts = is_of.sum(axis=0)
  losses = np.asarray(losses, np.float64)
  means = losses @ is_of / np.maximum(counts, 1)
  return np.where(counts > 0, means, losses.mean(axis=1, keepdims=True))


def correlation_of_differences(
  losses: np.ndarray, curves: np.ndarray, labels: np.ndarray
) -> np.ndarray:
  """CLD (Nagaraj et al. 2025, TMLR, arXiv 2508.20230): float32[N].

  The Pearson correlation of the differences of an example's loss from one step
  to the next with those of its class's mean loss on held-out data; 0 where one
  of them does not vary.

  Args:
    losses: float[steps, N].
    curves: float64[steps, num_classes], of `class_curves`.
    labels: int[N].
  """

  def centred(values: np.ndarray) -> np.ndarray:
    changes = np.diff(np.asarray(values, np.float64), axis=0)
    return changes - changes.mean(axis=0)

  own, of_class = centred(losses), centred(curves)[:, labels]
  products = (own * of_class).sum(axis=0)
  squares = np.square(own).sum(axis=0) * np.square(of_class).sum(axis=0)
  varies = squares > 0
  lengths = np.sqrt(np.where(varies, squares, 1.0))
  return np.where(varies, products / lengths, 0.0).astype(np.float32)
