"""Images unlike all others, and examples unlike their class, by neighbours."""

from collections.abc import Mapping

import numpy as np

from datadiet.inspection.neighbours import nearest

# The neighbour whose distance counts: not the first, which a copy would be.
_NTH = 6
# An outlier is farther than the third quartile of the logarithm by this many
# times what lies between the quartiles (Tukey's fence, which takes 1.5 to 3).
_FENCE = 2.25


def outlier_scores(
  properties: Mapping[str, np.ndarray], embeddings: np.ndarray | None = None
) -> np.ndarray:
  """How far images are from all others: float32[N], 0 to 1; outliers > 0.5.

  The distance to a near neighbour (Ramaswamy, Rastogi and Shim 2000) among
  embeddings times that among properties of the pixels: a network has no
  features for what its classes do not need, and properties know no content.

  Args:
    properties: of `pixels.read_facts`.
    embeddings: float32[N, d]; None to go by properties alone.
  """
  columns = np.stack([*properties.values()], axis=1)
  logs = _log_distance(columns)
  if embeddings is not None:
    logs += _log_distance(embeddings)
  low, high = np.quantile(logs, [0.25, 0.75])
  fence = high + _FENCE * (high - low)
  steep = np.clip((logs - fence) / max(high - low, 1e-6), -30, 30)
  return (1 / (1 + np.exp(-steep))).astype(np.float32)


def _log_distance(columns: np.ndarray) -> np.ndarray:
  """Log of the distance to the nth neighbour, columns of equal weight."""
  spread = columns.std(0)
  varies = spread > 0
  scaled = (columns[:, varies] - columns[:, varies].mean(0)) / spread[varies]
  num = min(_NTH, len(columns) - 1)
  if not num or not varies.any():
    return np.zeros(len(columns))
  distances, _ = nearest(scaled, num)
  # Where there are as many copies, the distance is 0.
  return np.log(distances[:, -1] + 1e-3 * np.sqrt(varies.sum()))


def class_agreement(neighbours: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """The share of neighbours with the example's label: float32[N].

  Args:
    neighbours: int[N, k].
    labels: int[N].
  """
  if not neighbours.shape[1]:
    return np.ones(len(labels), np.float32)
  same = labels[neighbours] == labels[:, None]
  return same.mean(1, dtype=np.float32)
