"""Embeddings of examples, and their inner products.

Either features, or the gradients of the loss in the last layer. The gradient of
-log p_y in the kernel and bias of a dense layer is the outer product of e =
p - onehot(y) and (h, 1), h the layer's input: it is kept as these two factors,
so that an inner product is <e, e'> times (<h, h'> + 1).
"""

import dataclasses
from collections.abc import Callable

import numpy as np

from datadiet.selection.budgets import proportional_quotas
from datadiet.selection.interface import GRADIENTS, SelectionInputs
from datadiet.selection.scaling import scaled, unit_exponents

# Rows compared with others at once; bounds the memory beside the result.
_BLOCK = 1024
# Squared distances below this share of the squared norms are rounding.
_ROUNDING = 1e-6


@dataclasses.dataclass(frozen=True)
class Embeddings:
  """Embeddings of N examples, all times one number.

  Attributes:
    features: float32[N, F].
    errors: float32[N, num_classes], e; None where the embedding is the
      features alone. Otherwise the features end with the bias's column.
    scale: that number, a power of two, with which squares of float32 numbers
      neither overflow nor vanish.
  """

  features: np.ndarray
  errors: np.ndarray | None = None
  scale: float = 1.0

  @classmethod
  def of(
    cls, inputs: SelectionInputs, *, centred: bool = False
  ) -> 'Embeddings':
    """The embeddings that `inputs.embeddings` names, or the features.

    Args:
      inputs: of the policy.
      centred: whether features may be moved, all alike: for policies that look
        at distances. Gradients are not: they are products with the features.
    """
    features = inputs.array('features')
    if inputs.embeddings != GRADIENTS:
      features, scale = scaled(features, centred=centred)
      return cls(features, scale=scale)
    features, scale = with_bias(features)
    errors, of_errors = scaled(errors_of(inputs))
    return cls(features, errors, scale * of_errors)

  def __len__(self) -> int:
    return len(self.features)

  def squared_norms(self) -> np.ndarray:
    """float32[N]."""
    norms = np.einsum('nf,nf->n', self.features, self.features)
    if self.errors is not None:
      norms *= np.einsum('nc,nc->n', self.errors, self.errors)
    return norms

  def products(
    self, rows: np.ndarray | slice, columns: np.ndarray | slice
  ) -> np.ndarray:
    """Inner products of examples: float32[len(rows), len(columns)]."""
    products = self.features[rows] @ self.features[columns].T
    if self.errors is not None:
      products *= self.errors[rows] @ self.errors[columns].T
    return products

  def gram(self) -> np.ndarray:
    """Inner products of all with all: float32[N, N], exactly symmetric.

    Two examples that only cover each other are equally good: what is rounded
    one way for one and another way for the other would not tie.
    """
    gram = np.empty((len(self), len(self)), np.float32)
    for start in range(0, len(self), _BLOCK):
      rows, before = slice(start, start + _BLOCK), slice(start + _BLOCK)
      gram[rows, before] = self.products(rows, before)
      gram[before, rows] = gram[rows, before].T
      block = gram[rows, rows]
      np.copyto(block, block.T.copy(), where=np.tri(len(block), dtype=bool).T)
    return gram

  def cosines(self) -> np.ndarray:
    """Cosines of all with all: float32[N, N]; 0 for those of length 0."""
    errors = None if self.errors is None else unit_exponents(self.errors)
    unit = Embeddings(unit_exponents(self.features), errors)
    lengths = np.sqrt(unit.squared_norms())
    divisors = np.where(lengths == 0, np.float32(1), lengths)
    gram = unit.gram()
    for start in range(0, len(self), _BLOCK):
      rows = slice(start, start + _BLOCK)
      gram[rows] /= divisors[rows, None] * divisors
    np.fill_diagonal(gram, lengths > 0)
    return gram

  def distances(self) -> np.ndarray:
    """Euclidean distances of all to all: float32[N, N]."""
    norms, gram = self.squared_norms(), self.gram()
    for start in range(0, len(self), _BLOCK):
      rows = slice(start, start + _BLOCK)
      gram[rows] = np.sqrt(_squares(gram[rows], norms[rows], norms))
    return gram

  def squared_distances(self) -> Callable[..., np.ndarray]:
    """A function of (rows, columns) -> float32[len(rows), len(columns)]."""
    norms = self.squared_norms()
    return lambda rows, columns: _squares(
      self.products(rows, columns), norms[rows], norms[columns]
    )


def _squares(
  products: np.ndarray, row_norms: np.ndarray, column_norms: np.ndarray
) -> np.ndarray:
  """|a - b|^2 from <a, b>, which is overwritten; 0 where it is rounding."""
  sums = row_norms[:, None] + column_norms
  products *= -2
  products += sums
  sums *= np.float32(_ROUNDING)
  products[products < sums] = 0
  return products


def with_bias(features: np.ndarray) -> tuple[np.ndarray, float]:
  """(h, 1) times a power of two, float32[N, F + 1], and that power."""
  features, scale = scaled(features, beside=1.0)
  ones = np.full((len(features), 1), scale, np.float32)
  return np.concatenate([features, ones], axis=1), scale


def errors_of(inputs: SelectionInputs) -> np.ndarray:
  """e = p - onehot(y): float32[N, num_classes].

  e_y is minus the sum of the other p_k, as p_y - 1 would lose every digit for
  confident examples.
  """
  errors = np.array(inputs.array('pred_probs'), np.float32)
  own = np.arange(len(errors)), inputs.labels
  errors[own] = 0
  errors[own] = -errors.sum(axis=1)
  return errors


def in_parts(
  inputs: SelectionInputs,
  num_keep: int,
  part_size: int,
  choose: Callable[[SelectionInputs, int], np.ndarray],
) -> np.ndarray:
  """Chooses within equal parts where all with all would be too many.

  Part p of P has the examples at positions p, p + P, p + 2 P, ...; the same
  share of each is kept.

  Args:
    inputs: of N examples.
    num_keep: how many to keep.
    part_size: the largest part.
    choose: (inputs of a part, number) -> its positions, int[number].

  Returns:
    int64[num_keep], ascending.
  """
  num_examples = inputs.num_examples
  num_parts = -(-num_examples // part_size)
  if num_parts == 1:
    return np.sort(choose(inputs, num_keep))
  positions = np.arange(num_examples)
  sizes = np.bincount(positions % num_parts)
  kept = []
  for part, quota in enumerate(proportional_quotas(num_keep, sizes)):
    members = positions[part::num_parts]
    if quota:
      kept.append(members[choose(inputs.take(members), int(quota))])
  return np.sort(np.concatenate(kept))
