"""Products with a noise matrix most of whose rates are the same in a row.

Of many classes most pairs are mixed up by chance alone, all equally often: a
product then takes a few operations a class, not one for each pair.
"""

from typing import Any

import numpy as np

from datadiet.audit.blocks import PredProbs

# It gains nothing of fewer classes, nor where a larger share of all pairs has a
# rate of its own.
_FEW_CLASSES, _MANY_PAIRS = 100, 0.1


class CommonRates:
  """The matrix outer(rows, columns) + diag(diagonal) + others.

  For products with arrays at its left.
  """

  __array_ufunc__ = None  # So that arrays leave `array @ self` to it.

  def __init__(
    self,
    rows: np.ndarray,
    columns: np.ndarray,
    diagonal: np.ndarray,
    others: Any,
  ):
    self._rows, self._columns = rows, columns
    self._diagonal, self._others = diagonal, others

  @property
  def T(self) -> 'CommonRates':
    """The transpose."""
    return CommonRates(
      self._columns, self._rows, self._diagonal, self._others.T
    )

  def __rmatmul__(self, left: np.ndarray) -> np.ndarray:
    product = np.multiply.outer(left @ self._rows, self._columns)
    product += left * self._diagonal
    if self._others.nnz:
      product += left @ self._others
    return product


def for_products(noise: np.ndarray, pred_probs: PredProbs) -> Any:
  """The matrix, or what gives its products with rows faster.

  Args:
    noise: float64[num_classes, num_classes].
    pred_probs: that it is to be multiplied with; with an array it stays as it
      is, since other sums would round otherwise.
  """
  if isinstance(pred_probs, np.ndarray) or len(noise) < _FEW_CLASSES:
    return noise
  # Imported late: it takes 60 MB, and every start imports this room.
  from scipy import sparse

  common = np.median(noise, axis=1)
  differences = noise - common[:, None]
  diagonal = np.diag(differences).copy()
  np.fill_diagonal(differences, 0)
  others = sparse.csr_array(differences)
  if others.nnz > _MANY_PAIRS * noise.size:
    return noise
  return CommonRates(common, np.ones(len(noise)), diagonal, others)
