"""Policies on the graph of nearest neighbours: Cal, D2, InfoMax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from datadiet.errors import DataDietError
from datadiet.inspection.neighbours import directions, nearest
from datadiet.selection.interface import Policy, SelectionInputs
from datadiet.selection.ranking import hardness, largest_first
from datadiet.selection.scaling import scaled
from datadiet.settings import Setting, checks

if TYPE_CHECKING:
  from scipy import sparse


def check_neighbours(
  num_examples: int, num_keep: int, *, num_neighbours: int, **_: object
) -> None:
  """Raises DataDietError for more neighbours than there are others."""
  del num_keep
  if num_neighbours >= num_examples:
    raise DataDietError(
      f'num_neighbours={num_neighbours} others of each example are needed, but '
      f'there are only {num_examples} examples; num_neighbours can be at most '
      f'{num_examples - 1} here'
    )


def nearest_neighbours(
  features: np.ndarray, num_neighbours: int
) -> tuple[np.ndarray, np.ndarray]:
  """The nearest other examples of each: float64 and int64[N, num_neighbours].

  Args:
    features: real[N, F].
    num_neighbours: at most N - 1.

  Returns:
    Their Euclidean distances, ascending, and their positions.
  """
  rows, scale = scaled(features, centred=True)
  distances, positions = nearest(rows, num_neighbours)
  return distances / scale, positions


def _undirected(values: np.ndarray, positions: np.ndarray) -> sparse.csr_array:
  """A symmetric matrix of float64[N, k] values of edges to int[N, k]."""
  # Imported here: it takes a quarter of a second, and 50 MB.
  from scipy import sparse

  num_examples, num_neighbours = positions.shape
  starts = np.arange(num_examples + 1) * num_neighbours
  graph = sparse.csr_array(
    (values.ravel(), positions.ravel(), starts),
    shape=(num_examples, num_examples),
  )
  return graph.maximum(graph.T).tocsr()


def cal(
  inputs: SelectionInputs,
  num_keep: int,
  *,
  rng: np.random.Generator,
  num_neighbours: int,
) -> np.ndarray:
  """Contrastive active learning (Margatina et al. 2021, arXiv 2109.03764).

  Keeps the examples whose prediction p differs most from those of their nearest
  neighbours in feature space: the largest mean of KL(p_neighbour || p). In the
  paper the neighbours are labelled examples; here all have labels. DeepCore's
  code takes neighbours by a network trained elsewhere, within each class, and
  keeps the smallest divergences, against the paper.
  """
  del rng
  _, neighbours = nearest_neighbours(inputs.array('features'), num_neighbours)
  probs = inputs.array('pred_probs').astype(np.float64)
  probs = np.maximum(probs, np.finfo(np.float32).tiny)
  logs = np.log(probs)
  divergences = np.zeros(len(probs))
  for column in neighbours.T:
    gaps = logs[column] - logs
    divergences += np.einsum('nc,nc->n', probs[column], gaps)
  return np.sort(largest_first(divergences)[:num_keep])


def message_passing(
  importance: np.ndarray,
  forward: sparse.csr_array,
  backward: sparse.csr_array,
  num_keep: int,
) -> np.ndarray:
  """D2's choice: int64[num_keep], in the order picked.

  Args:
    importance: float64[N].
    forward: [N, N], weights by which neighbours add their importance.
    backward: [N, N], with the same entries, weights by which an example that is
      picked takes importance from its neighbours.
    num_keep: from 1 to N.
  """
  importance = importance + forward @ importance
  left = importance.copy()
  picked = np.empty(num_keep, np.int64)
  for number in range(num_keep):
    example = picked[number] = left.argmax()
    edges = slice(backward.indptr[example], backward.indptr[example + 1])
    left[backward.indices[edges]] -= backward.data[edges] * left[example]
    left[example] = -np.inf
  return picked


def d2(
  inputs: SelectionInputs,
  num_keep: int,
  *,
  rng: np.random.Generator,
  num_neighbours: int,
  forward_gamma: float,
  backward_gamma: float,
) -> np.ndarray:
  """D2 pruning (Maharana et al. 2024, ICLR, arXiv 2310.07931).

  Importance is passed forward over the graph of nearest neighbours in feature
  space, x_i + sum over j of exp(-forward_gamma d_ij^2) x_j; then, again and
  again, the most important example is kept and takes exp(-backward_gamma
  d_ij^2) times its importance from its neighbours. The score is brought to [0,
  1], hard examples high. The authors' code takes exp(-d) and exp(-gamma d),
  without the paper's square, and on CIFAR it first cuts examples that look
  mislabelled and splits the rest into strata, which `ccs` does.
  """
  del rng
  features = inputs.array('features')
  distances, neighbours = nearest_neighbours(features, num_neighbours)
  squares = np.square(distances)
  # A weight that rounds to 0 would be no edge: the graph has both or none.
  weights = [
    np.maximum(np.exp(-gamma * squares), np.finfo(np.float64).tiny)
    for gamma in (forward_gamma, backward_gamma)
  ]
  forward, backward = (_undirected(one, neighbours) for one in weights)
  importance = hardness(inputs.array('scores'), inputs.higher_is)
  return np.sort(message_passing(importance, forward, backward, num_keep))


def capped_shares(logits: np.ndarray, total: int) -> np.ndarray:
  """log of min(1, c exp(logits)) with the c by which they sum to total.

  The numbers from 0 to 1 of that sum that are nearest to exp(logits), by their
  relative entropy.

  Args:
    logits: float64[N].
    total: from 1 to N.
  """
  # With the k largest at 1, the others share total - k.
  ascending = np.sort(logits)
  ordered = ascending[::-1][:total]
  sums = np.logaddexp.accumulate(ascending)[::-1][:total]
  offsets = np.log(total - np.arange(total)) - sums
  num_whole = int(np.argmax(ordered + offsets <= 0))
  return np.minimum(logits + offsets[num_whole], 0.0)


def informative(
  importance: np.ndarray,
  redundancy: sparse.csr_array,
  num_keep: int,
  redundancy_weight: float,
  num_iterations: int,
) -> np.ndarray:
  """InfoMax's choice: int64[num_keep], the largest first.

  Maximises <x, importance> - redundancy_weight x^T K x over x from 0 to 1 that
  sum to num_keep, by num_iterations entropic (mirror) steps of length 1: x
  times exp(gradient), brought back by `capped_shares`. Without the bound of 1
  all of x would gather on a few examples, whose neighbours alone would count as
  alike to something that is kept.

  Args:
    importance: float64[N].
    redundancy: [N, N], K, symmetric.
    num_keep: from 1 to N.
    redundancy_weight: of the pairs.
    num_iterations: how many steps.
  """
  logits = capped_shares(np.zeros(len(importance)), num_keep)
  for _ in range(num_iterations):
    pairs = redundancy @ np.exp(logits)
    gradient = importance - 2 * redundancy_weight * pairs
    # Those at 1 go by how much they gain, where they tie.
    raised = logits + gradient
    logits = capped_shares(raised, num_keep)
  return largest_first(raised)[:num_keep]


def infomax(
  inputs: SelectionInputs,
  num_keep: int,
  *,
  rng: np.random.Generator,
  num_neighbours: int,
  redundancy_weight: float,
  num_iterations: int,
) -> np.ndarray:
  """InfoMax (Tan et al. 2025, ICLR, arXiv 2506.01701).

  Keeps the p examples x in {0, 1}^N with the largest sum of importance minus
  redundancy_weight times x^T K x, K being the similarity of each example to its
  nearest neighbours and 0 for others. As in the paper, x is relaxed to numbers
  that sum to p, here from 0 to 1, a gradient method runs for some iterations,
  and the p largest are kept. Importance is the score brought to [0, 1],
  similarity the cosine of features where it is above 0. There was no code of
  the authors to compare with: the bound of 1 on x, step length, scale and
  defaults are this project's.
  """
  del rng
  features, _ = scaled(inputs.array('features'))
  distances, neighbours = nearest_neighbours(
    directions(features), num_neighbours
  )
  cosines = np.maximum(1 - np.square(distances) / 2, 0)
  return np.sort(
    informative(
      hardness(inputs.array('scores'), inputs.higher_is),
      _undirected(cosines, neighbours),
      num_keep,
      redundancy_weight,
      num_iterations,
    )
  )


def _number_of_neighbours(default: int) -> Setting:
  return Setting(
    default=default,
    check=checks.integer(1, words='an integer, 1 or more'),
    help='how many nearest neighbours of each example count',
  )


_GRAPH = {'num_neighbours': _number_of_neighbours(10)}
_LIBRARIES = ('faiss',)

POLICIES: dict[str, Policy] = {
  'cal': Policy(
    function=cal,
    needs=frozenset({'features', 'pred_probs'}),
    nested=True,
    summary="predictions that differ most from their neighbours'",
    source='Margatina et al. 2021, arXiv 2109.03764',
    options=_GRAPH,
    libraries=_LIBRARIES,
    check=check_neighbours,
  ),
  'd2': Policy(
    function=d2,
    needs=frozenset({'scores', 'higher_is', 'features'}),
    nested=True,
    summary='the hardest of each neighbourhood, by passing messages',
    source='Maharana et al. 2024, arXiv 2310.07931',
    options={
      **_GRAPH,
      'forward_gamma': Setting(
        default=1.0,
        check=checks.not_negative,
        help='how fast what neighbours add falls with the distance',
      ),
      'backward_gamma': Setting(
        default=0.1,
        check=checks.not_negative,
        help='how fast what is taken from neighbours falls with the distance',
      ),
    },
    libraries=_LIBRARIES,
    check=check_neighbours,
  ),
  'infomax': Policy(
    function=infomax,
    needs=frozenset({'scores', 'higher_is', 'features'}),
    nested=False,
    summary='the largest sum of scores, less what is alike',
    source='Tan et al. 2025, arXiv 2506.01701',
    options={
      'num_neighbours': _number_of_neighbours(5),
      'redundancy_weight': Setting(
        default=0.3,
        check=checks.not_negative,
        help="of pairs that are alike, the paper's alpha",
      ),
      'num_iterations': Setting(
        default=20,
        check=checks.integer(1, words='an integer, 1 or more'),
        help='steps of the solver',
      ),
    },
    libraries=_LIBRARIES,
    check=check_neighbours,
  ),
}
