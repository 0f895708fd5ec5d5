"""Nearest neighbours, exact or, of very many, nearly so; by faiss.

Faiss (Douze et al. 2024, arXiv 2401.08281) is maintained, has one wheel for all
Pythons from 3.10, and takes 8 s for 50,000 x 128 on one core, where
scikit-learn takes 21.
"""

import numpy as np

# More vectors than this are looked for in the nearest cells of an inverted file
# alone: comparing all with all takes time with the square of their number.
EXACT_UP_TO = 200_000
# Cells looked into, and vectors that a cell is fitted to.
_NUM_PROBES, _FITTED_BY_CELL = 16, 40
# Rows whose distances are computed anew at once; bounds the memory.
_BLOCK = 4096


def nearest(
  vectors: np.ndarray,
  num_neighbours: int,
  queries: np.ndarray | None = None,
  exact_up_to: int = EXACT_UP_TO,
) -> tuple[np.ndarray, np.ndarray]:
  """The nearest vectors of each, by Euclidean distance.

  Args:
    vectors: float32[N, d], finite.
    num_neighbours: at most N, or N - 1 of the vectors themselves.
    queries: float32[M, d], whose neighbours are looked for; by default those
      of the vectors themselves, each but itself.
    exact_up_to: of more vectors, neighbours are approximate: among a million,
      96 of a hundred were found (docs/inspection.md).

  Returns:
    Distances float64[M, num_neighbours], ascending, and positions among the
    vectors, int64[M, num_neighbours]; of equal distances the lower first.
  """
  vectors = np.ascontiguousarray(vectors, np.float32)
  among_themselves = queries is None
  wanted = vectors if queries is None else queries
  wanted = np.ascontiguousarray(wanted, np.float32)
  index = _index(vectors, exact_up_to)
  num_found = num_neighbours + among_themselves
  _, positions = index.search(wanted, num_found)
  # Too few vectors may lie in the cells that were looked into.
  short = np.flatnonzero((positions < 0).any(1))
  if len(short):
    index.nprobe = index.nlist
    positions[short] = index.search(wanted[short], num_found)[1]
  if among_themselves:
    positions = _others(positions)
  return _sorted(vectors, wanted, positions)


def cosine_neighbours(
  vectors: np.ndarray, num_neighbours: int, queries: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
  """As `nearest`, by cosine distance: 1 - cos, float32 from 0 to 2.

  A vector of length 0 is at distance 0.5 of all others.
  """
  distances, positions = nearest(
    directions(vectors),
    num_neighbours,
    None if queries is None else directions(queries),
  )
  return (np.square(distances) / 2).astype(np.float32), positions


def directions(vectors: np.ndarray) -> np.ndarray:
  """Rows scaled to length 1, float32[N, d]; a row of zeros stays one."""
  vectors = np.asarray(vectors, np.float32)
  # In float64: squares of large float32 numbers overflow.
  squares = np.einsum('nd,nd->n', vectors, vectors, dtype=np.float64)
  lengths = np.sqrt(squares)[:, None]
  unit = np.empty_like(vectors)
  return np.divide(
    vectors, np.where(lengths == 0, 1, lengths), out=unit, casting='same_kind'
  )


def _index(vectors: np.ndarray, exact_up_to: int):
  # Imported here: few stages need it.
  import faiss

  num_vectors, num_dimensions = vectors.shape
  flat = faiss.IndexFlatL2(num_dimensions)
  if num_vectors <= exact_up_to:
    flat.add(vectors)
    return flat
  num_cells = int(4 * np.sqrt(num_vectors))
  index = faiss.IndexIVFFlat(flat, num_dimensions, num_cells)
  index.nprobe = _NUM_PROBES
  step = max(1, num_vectors // (_FITTED_BY_CELL * num_cells))
  index.train(vectors[::step])
  index.add(vectors)
  return index


def _others(positions: np.ndarray) -> np.ndarray:
  """Rows without the row's own number, or, where that is not in it, the last.

  Args:
    positions: int64[N, k + 1], the nearest first. Of many copies of a vector
      any may come first, and not all need be among them.

  Returns:
    int64[N, k].
  """
  own = positions == np.arange(len(positions))[:, None]
  own[~own.any(1), -1] = True
  return positions[~own].reshape(len(positions), -1)


def _sorted(
  vectors: np.ndarray, queries: np.ndarray, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """Distances of the pairs, computed anew, in ascending order.

  Faiss takes |a|^2 + |b|^2 - 2 <a, b>, which has few digits left where a and b
  are nearly equal.
  """
  distances = np.empty(positions.shape)
  for start in range(0, len(positions), _BLOCK):
    rows = slice(start, start + _BLOCK)
    gaps = vectors[positions[rows]] - queries[rows, None]
    distances[rows] = np.sqrt(
      np.einsum('nkd,nkd->nk', gaps, gaps, dtype=np.float64)
    )
  order = np.lexsort((positions, distances))
  return (
    np.take_along_axis(distances, order, 1),
    np.take_along_axis(positions, order, 1),
  )
