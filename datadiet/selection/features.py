"""Policies that look at where examples lie among the network's features.

Features are the penultimate activations, float32[N, num_features].
"""

import warnings

import numpy as np

from datadiet.errors import DataDietError
from datadiet.selection.interface import SelectionInputs
from datadiet.selection.ranking import largest_first, smallest_first

# Rows compared with all centroids at once; bounds the memory this takes.
_CHUNK = 8192


def centre_distances(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """Euclidean distance of each example to its class's mean: float64[N]."""
  distances = np.zeros(len(labels))
  for label in np.unique(labels):
    members = np.flatnonzero(labels == label)
    of_class = features[members].astype(np.float64)
    distances[members] = np.linalg.norm(
      of_class - of_class.mean(axis=0), axis=1
    )
  return distances


def moderate(
  inputs: SelectionInputs, num_keep: int, *, rng: np.random.Generator
) -> np.ndarray:
  """Moderate coreset (Xia et al. 2023, ICLR): the distances nearest the median.

  Keeps the examples whose distance to their class centre (the mean of the
  class's features) differs least from the median distance of all examples.
  The authors' code takes the coordinate-wise median as the centre and a window
  of ranks around the middle; the paper's definition is followed.
  """
  del rng
  distances = centre_distances(inputs.array('features'), inputs.labels)
  from_median = np.abs(distances - np.median(distances))
  return np.sort(smallest_first(from_median)[:num_keep])


def _unit_rows(features: np.ndarray) -> np.ndarray:
  """Rows scaled to length 1; a row of zeros stays one: float64[N, F]."""
  norms = np.linalg.norm(features, axis=1, keepdims=True)
  return features / np.where(norms == 0, 1.0, norms)


def prototype_distances(
  features: np.ndarray, centroids: np.ndarray, distance: str
) -> np.ndarray:
  """Distance of each row to the nearest centroid: float64[N].

  Args:
    features: float64[N, num_features].
    centroids: float64[num_clusters, num_features].
    distance: 'cosine' (1 - cosine) or 'euclidean'.
  """
  nearest = np.empty(len(features))
  if distance == 'cosine':
    features, centroids = _unit_rows(features), _unit_rows(centroids)
  squared_norms = np.square(centroids).sum(axis=1)
  for start in range(0, len(features), _CHUNK):
    rows = features[start : start + _CHUNK]
    # The matrix product only finds the nearest one: its last digits depend on
    # a row's place and on threads. Equal rows have to get equal distances, so
    # these are computed row by row.
    if distance == 'cosine':
      closest = centroids[(rows @ centroids.T).argmax(axis=1)]
      values = 1 - (rows * closest).sum(axis=1)
    else:
      # The row's own norm is the same for all centroids, so it is left out.
      gaps = squared_norms - 2 * (rows @ centroids.T)
      values = np.linalg.norm(rows - centroids[gaps.argmin(axis=1)], axis=1)
    nearest[start : start + _CHUNK] = values
  return nearest


def _kmeans_centroids(
  features: np.ndarray, num_clusters: int, seed: int
) -> np.ndarray:
  """scikit-learn's k-means, the same on every run: float64[num_clusters, F]."""
  # Imported here: it takes a second, and no other policy needs it.
  import threadpoolctl
  from sklearn import cluster, exceptions

  model = cluster.KMeans(num_clusters, n_init=1, random_state=seed)
  with warnings.catch_warnings():
    # Fewer distinct examples than clusters: then some centroids coincide.
    warnings.simplefilter('ignore', exceptions.ConvergenceWarning)
    # Threads add up partial sums in the order they finish, so that more than
    # one of them makes the last digits, and with them ties, depend on chance.
    with threadpoolctl.threadpool_limits(limits=1):
      return model.fit(features).cluster_centers_


def prototypes(
  inputs: SelectionInputs,
  num_keep: int,
  *,
  rng: np.random.Generator,
  keep: str,
  num_clusters: int,
  distance: str,
) -> np.ndarray:
  """Prototypes (Sorscher et al. 2022, arXiv 2206.14486).

  k-means on the features; an example far from its nearest centroid (its
  prototype) is hard. Labels are not used. The paper takes the cosine distance
  and finds the number of clusters to matter little; `num_clusters=0` is one
  for each class. With 'cosine' the features are scaled to length 1 first.
  """
  features = inputs.array('features').astype(np.float64)
  if distance == 'cosine':
    features = _unit_rows(features)
  centroids = _kmeans_centroids(
    features,
    num_clusters or min(inputs.num_classes, inputs.num_examples),
    seed=int(rng.integers(2**31)),
  )
  distances = prototype_distances(features, centroids, distance)
  order = largest_first if keep == 'hardest' else smallest_first
  return np.sort(order(distances)[:num_keep])


def check_prototypes(
  num_examples: int, num_keep: int, *, num_clusters: int, **_: object
) -> None:
  """Raises DataDietError for more clusters than examples."""
  del num_keep
  if num_clusters > num_examples:
    raise DataDietError(
      f"policy 'prototypes' cannot make num_clusters={num_clusters} clusters "
      f'of {num_examples} examples'
    )
