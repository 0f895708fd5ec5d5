"""Maps of embeddings: a place in the plane for each example."""

import warnings
from collections.abc import Callable

import numpy as np

from datadiet.inspection.neighbours import directions
from datadiet.runtime import extras

# UMAP's, whose result is then the same on every start.
_SEED = 0


def embedding_map(kind: str, embeddings: np.ndarray) -> np.ndarray:
  """A place in the plane for each example, float32[N, 2].

  Args:
    kind: a key of `MAPS`.
    embeddings: float32[N, d], finite.
  """
  return MAPS[kind](embeddings).astype(np.float32)


def _pca(embeddings: np.ndarray) -> np.ndarray:
  """The two directions of largest variance, of vectors of length 1."""
  from sklearn.decomposition import PCA

  # As neighbours are: by direction, whatever the length.
  vectors = directions(embeddings)
  places = np.zeros((len(vectors), 2))
  num_components = min(2, *vectors.shape)
  places[:, :num_components] = PCA(
    num_components, svd_solver='covariance_eigh'
  ).fit_transform(vectors)
  return places


def _umap(embeddings: np.ndarray) -> np.ndarray:
  """UMAP (McInnes et al. 2018, arXiv 1802.03426), by cosine distance."""
  extras.quiet_tensorflow()
  with warnings.catch_warnings():
    # Of few examples, and of itself where TensorFlow is missing.
    warnings.simplefilter('ignore')
    import umap

    return umap.UMAP(
      metric='cosine', random_state=_SEED, n_jobs=1
    ).fit_transform(embeddings)


# Kind -> a function of float32[N, d] that gives float[N, 2].
MAPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
  'pca': _pca,
  'umap': _umap,
}
