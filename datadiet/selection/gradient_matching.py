"""Policies that keep examples whose gradients add up to what all would do."""

import dataclasses

import numpy as np

from datadiet.selection.embeddings import (
  Embeddings,
  errors_of,
  in_parts,
  with_bias,
)
from datadiet.selection.interface import GRADIENTS, Policy, SelectionInputs
from datadiet.selection.submodular import PART_SIZE
from datadiet.settings import Setting, checks

# Picks between two updates of the whole Gram matrix.
_PANEL = 64


def matching_pursuit(
  gram: np.ndarray, target: np.ndarray, num_keep: int, regularization: float
) -> np.ndarray:
  """Orthogonal matching pursuit on inner products alone: int64[num_keep].

  Atom after atom, the one with the largest inner product with the residual
  r = b - A x, x being the minimiser of |A x - b|^2 + regularization |x|^2 over
  the atoms picked. With L L^T = A_S^T A_S + regularization I and W = A^T A_S
  L^-T, a pick adds a column to W, and A^T r loses a multiple of that column. As
  in a blocked Cholesky factorisation, W W^T is subtracted from the Gram matrix
  once for many picks, in place and from its lower triangle alone.

  Args:
    gram: float32[N, N], A^T A; overwritten.
    target: float64[N], A^T b.
    num_keep: from 1 to N.
    regularization: above 0.

  Returns:
    Positions in the order they were picked.
  """
  # Imported late: it takes a part of a second, and most starts select nothing.
  from scipy.linalg.blas import ssyrk

  projections = target.astype(np.float64)
  picked = np.empty(num_keep, np.int64)
  # BLAS counts in columns: these are contiguous, and the lower triangle of the
  # Gram matrix is the upper one of what it sees.
  panel = np.zeros((len(gram), _PANEL), np.float32, order='F')
  seen = gram.T
  column = np.empty(len(gram), np.float32)
  for number in range(num_keep):
    width = number % _PANEL
    if number and not width:
      ssyrk(-1.0, panel, beta=1.0, c=seen, overwrite_c=True)
    example = picked[number] = projections.argmax()
    column[:example] = gram[example, :example]
    column[example:] = gram[example:, example]
    column -= panel[:, :width] @ panel[example, :width]
    # At least the regularization, but for rounding.
    pivot = np.sqrt(max(column[example], 0.0) + regularization)
    column /= pivot
    panel[:, width] = column
    projections -= column * (projections[example] / pivot)
    projections[example] = -np.inf
  return picked


def grad_match(
  inputs: SelectionInputs,
  num_keep: int,
  *,
  rng: np.random.Generator,
  regularization: float,
  part_size: int,
) -> np.ndarray:
  """GradMatch (Killamsetty et al. 2021, ICML, arXiv 2103.00123).

  Within each class, orthogonal matching pursuit of its mean gradient. The
  paper matches the gradient on held-out data where there is some, and weights
  the examples; here it is that of the class, and all are trained on alike.
  Every example picked is kept, also those whose weight would end up at 0.
  DeepCore's first weight is not regularized, and its regularization is 1. One
  that float32 loses beside the largest square of a gradient counts as the
  least that it does not.
  """
  del rng

  def choose(part: SelectionInputs, number: int) -> np.ndarray:
    embeddings = Embeddings.of(part)
    gram = embeddings.gram()
    target = gram.mean(axis=1, dtype=np.float64)
    rounding = np.finfo(np.float32).eps * float(gram.diagonal().max())
    weight = max(regularization * embeddings.scale**2, float(rounding))
    return matching_pursuit(gram, target, number, weight)

  return in_parts(inputs, num_keep, part_size, choose)


def glister(
  inputs: SelectionInputs,
  num_keep: int,
  *,
  rng: np.random.Generator,
  learning_rate: float,
  num_rounds: int,
) -> np.ndarray:
  """GLISTER (Killamsetty et al. 2021, AAAI, arXiv 2012.10630).

  The examples whose gradients go most along that of the validation loss, in
  `num_rounds` rounds of equal size; after each, the last layer takes a step
  along the kept gradients and the validation loss's gradient is computed anew.
  Within each class, whose own examples are the validation set, as the paper
  does where none is held out. The step is along the mean of the kept
  gradients, as in DeepCore; the paper's, along their sum, grows with the
  subset. (DeepCore's code means to update after every pick, but never does.)
  """
  del rng
  errors = errors_of(inputs)
  features, scale = with_bias(inputs.array('features'))
  tiny = np.finfo(np.float32).tiny
  logits = np.log(np.maximum(inputs.array('pred_probs'), tiny))
  kept = np.zeros(len(errors), bool)
  ahead = errors  # e of the validation examples, after the step.
  for number in range(1, num_rounds + 1):
    # Rounds end at these many, so that no size is lost to rounding.
    missing = num_keep * number // num_rounds - int(kept.sum())
    if not missing:
      continue
    gradient = ahead.T @ features / len(ahead)
    along = features @ gradient.T
    gains = np.einsum('nc,nc->n', along, errors, dtype=np.float64)
    gains[kept] = -np.inf
    kept[np.argsort(-gains, kind='stable')[:missing]] = True
    step = errors[kept].T @ features[kept] / kept.sum()
    change = (features @ step.T).astype(np.float64)
    moved = logits - learning_rate / scale**2 * change
    moved = np.exp(moved - moved.max(axis=1, keepdims=True))
    moved /= moved.sum(axis=1, keepdims=True)
    ahead = errors_of(dataclasses.replace(inputs, pred_probs=moved))
  return np.flatnonzero(kept)


POLICIES: dict[str, Policy] = {
  'grad_match': Policy(
    function=grad_match,
    needs=frozenset(),
    embeddings=GRADIENTS,
    by_class=True,
    nested=True,
    summary="gradients that add up to their class's, by matching pursuit",
    source='Killamsetty et al. 2021, arXiv 2103.00123',
    options={
      'regularization': Setting(
        default=0.5,
        check=checks.positive,
        help="of the weights, the paper's lambda",
      ),
      'part_size': PART_SIZE,
    },
  ),
  'glister': Policy(
    function=glister,
    needs=frozenset({'features', 'pred_probs'}),
    by_class=True,
    nested=False,
    summary='gradients along which the validation loss falls most',
    source='Killamsetty et al. 2021, arXiv 2012.10630',
    options={
      'learning_rate': Setting(
        default=0.1,
        check=checks.positive,
        help='of the step after each round',
      ),
      'num_rounds': Setting(
        default=15,
        check=checks.integer(1, words='an integer, 1 or more'),
        help='how often the gradient of the validation loss is computed',
      ),
    },
  ),
}
