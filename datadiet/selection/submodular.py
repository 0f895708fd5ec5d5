"""Policies that maximise a set function of similarities, greedily.

Similarities of all with all are held for one class at a time, or for a part of
it: `part_size` bounds the memory to 4 part_size^2 bytes.
"""

import heapq

import numpy as np

from datadiet.errors import DataDietError
from datadiet.selection.embeddings import Embeddings, in_parts
from datadiet.selection.interface import (
  FEATURES,
  GRADIENTS,
  Policy,
  SelectionInputs,
)
from datadiet.settings import Setting, checks

PART_SIZE = Setting(
  default=10_000,
  check=checks.integer(1, words='an integer, 1 or more'),
  help='how many examples are compared with each other; a class of more is '
  'cut into equal parts',
)


def greedy_facilities(similarities: np.ndarray, num_keep: int) -> np.ndarray:
  """Greedy maximiser of sum over i of max over j in S of s_ij: int64[num_keep].

  Lazy greedy (Minoux 1978): a gain only falls while S grows, so one that was
  computed for a smaller S bounds it; the pick is the same as that of the plain
  greedy algorithm, ties going to the first example.

  Args:
    similarities: float32[N, N], symmetric, 0 or more.
    num_keep: from 1 to N.

  Returns:
    Positions in the order they were picked.

  Raises:
    DataDietError: similarities that are not finite, with which a search for
      the largest gain would never end.
  """
  # In float64 sums of float32 numbers are all but exact, and so are ties: two
  # that only cover each other are equally good.
  covered = np.zeros(len(similarities))
  added = np.empty_like(covered)
  # (minus the gain, example): the heap has the least first.
  waiting = [
    (-float(row.sum(dtype=np.float64)), example)
    for example, row in enumerate(similarities)
  ]
  if not np.isfinite([gain for gain, _ in waiting]).all():
    raise DataDietError('similarities of examples have to be finite numbers')
  heapq.heapify(waiting)
  picked = np.empty(num_keep, np.int64)
  for number in range(num_keep):
    while True:
      _, example = heapq.heappop(waiting)
      np.subtract(similarities[example], covered, out=added)
      np.maximum(added, 0, out=added)
      candidate = -float(added.sum(dtype=np.float64)), example
      if not waiting or candidate <= waiting[0]:
        break
      heapq.heappush(waiting, candidate)
    picked[number] = example
    np.maximum(covered, similarities[example], out=covered)
  return picked


def _unit_similarities(embeddings: Embeddings) -> np.ndarray:
  """1/2 + cosine / 2, so that none is negative: float32[N, N]."""
  similarities = embeddings.cosines()
  similarities *= np.float32(0.5)
  similarities += np.float32(0.5)
  return np.maximum(similarities, 0, out=similarities)


def facility_location(
  inputs: SelectionInputs,
  num_keep: int,
  *,
  rng: np.random.Generator,
  part_size: int,
) -> np.ndarray:
  """Facility location (Mirchandani and Francis 1990; Iyer et al. 2021).

  Maximises sum over i of max over j in S of s_ij, s = (1 + cosine) / 2 of the
  embeddings, by the exact greedy algorithm. Within each class and on gradients
  of the last layer, as DeepCore (Guo et al. 2022) compares it.
  """
  del rng

  def choose(part: SelectionInputs, number: int) -> np.ndarray:
    return greedy_facilities(_unit_similarities(Embeddings.of(part)), number)

  return in_parts(inputs, num_keep, part_size, choose)


def craig(
  inputs: SelectionInputs,
  num_keep: int,
  *,
  rng: np.random.Generator,
  part_size: int,
) -> np.ndarray:
  """CRAIG (Mirzasoleiman et al. 2020, ICML, arXiv 1906.01827).

  Greedily covers the gradients of a class: the sum over i of the least distance
  |g_i - g_j| to one kept is minimised. As facility location with similarities
  d_0 - d, d_0 being the largest distance, which is the paper's auxiliary
  element. The paper also weights each example kept by how many it stands for;
  a subset here is a list of examples, all trained on alike.
  """
  del rng

  def choose(part: SelectionInputs, number: int) -> np.ndarray:
    similarities = Embeddings.of(part, centred=True).distances()
    np.subtract(similarities.max(), similarities, out=similarities)
    return greedy_facilities(similarities, number)

  return in_parts(inputs, num_keep, part_size, choose)


def greedy_cut(
  similarities: np.ndarray, num_keep: int, coverage: float
) -> np.ndarray:
  """Greedy maximiser of the graph-cut function: int64[num_keep].

  The gain of j is coverage * sum over i of s_ij - 2 * sum over i in S of s_ij
  - s_jj. It is kept up to date for all examples, which costs less than being
  lazy, as a pick changes it by one row.

  Args:
    similarities: float32[N, N], symmetric.
    num_keep: from 1 to N.
    coverage: weight of the first sum.

  Returns:
    Positions in the order they were picked.
  """
  gains = coverage * similarities.sum(axis=1, dtype=np.float64)
  gains -= similarities.diagonal()
  picked = np.empty(num_keep, np.int64)
  for number in range(num_keep):
    example = picked[number] = gains.argmax()
    gains -= 2.0 * similarities[example]
    gains[example] = -np.inf
  return picked


def graph_cut(
  inputs: SelectionInputs,
  num_keep: int,
  *,
  rng: np.random.Generator,
  coverage: float,
  part_size: int,
) -> np.ndarray:
  """Graph cut (Iyer et al. 2021, arXiv 2006.15412).

  Greedily maximises coverage * sum over i and j in S of s_ij - sum over i, j in
  S of s_ij, s = (1 + cosine) / 2. Within each class and on gradients of the
  last layer, as DeepCore compares it, whose lambda = 1 is the default. It
  leaves s_jj out of the gain, which is 1 for all but gradients of length 0.
  """
  del rng

  def choose(part: SelectionInputs, number: int) -> np.ndarray:
    similarities = _unit_similarities(Embeddings.of(part))
    return greedy_cut(similarities, number, coverage)

  return in_parts(inputs, num_keep, part_size, choose)


def herd(gram: np.ndarray, num_keep: int) -> np.ndarray:
  """Greedily keeps the mean: int64[num_keep], positions in the order picked.

  Pick t makes the mean of the t kept as near the mean of all as one can:
  max over x of 2 <t mu - sum of the kept, x> - |x|^2.

  Args:
    gram: float32[N, N], inner products.
    num_keep: from 1 to N.
  """
  to_mean = gram.mean(axis=1, dtype=np.float64)
  to_kept = np.zeros(len(gram))
  norms = gram.diagonal().astype(np.float64)
  left = np.zeros(len(gram))  # -inf for those that are kept.
  picked = np.empty(num_keep, np.int64)
  for number in range(num_keep):
    nearness = 2.0 * ((number + 1) * to_mean - to_kept) - norms + left
    example = picked[number] = nearness.argmax()
    to_kept += gram[example]
    left[example] = -np.inf
  return picked


def herding(
  inputs: SelectionInputs,
  num_keep: int,
  *,
  rng: np.random.Generator,
  part_size: int,
) -> np.ndarray:
  """Herding (Welling 2009; as in iCaRL, Rebuffi et al. 2017).

  One example after the other is added so that the mean of the kept features is
  as near as can be to the mean of the class. Welling picks the largest
  <w, x>, the same for features of one length. DeepCore's code takes the example
  that is furthest, against its own description, which is followed here.
  """
  del rng

  def choose(part: SelectionInputs, number: int) -> np.ndarray:
    return herd(Embeddings.of(part, centred=True).gram(), number)

  return in_parts(inputs, num_keep, part_size, choose)


_DEEPCORE = 'DeepCore, arXiv 2204.08499'

POLICIES: dict[str, Policy] = {
  'herding': Policy(
    function=herding,
    needs=frozenset(),
    embeddings=FEATURES,
    by_class=True,
    nested=True,
    summary="examples whose mean stays near their class's mean",
    source=f'Welling 2009, ICML; {_DEEPCORE}',
    options={'part_size': PART_SIZE},
  ),
  'facility_location': Policy(
    function=facility_location,
    needs=frozenset(),
    embeddings=GRADIENTS,
    by_class=True,
    nested=True,
    summary='examples that some kept one is most similar to, greedily',
    source=f'Iyer et al. 2021, arXiv 2006.15412; {_DEEPCORE}',
    options={'part_size': PART_SIZE},
  ),
  'graph_cut': Policy(
    function=graph_cut,
    needs=frozenset(),
    embeddings=GRADIENTS,
    by_class=True,
    nested=True,
    summary='similar to all, but not to what is kept, greedily',
    source=f'Iyer et al. 2021, arXiv 2006.15412; {_DEEPCORE}',
    options={
      'coverage': Setting(
        default=1.0,
        check=checks.positive,
        help='weight of the similarity to all',
      ),
      'part_size': PART_SIZE,
    },
  ),
  'craig': Policy(
    function=craig,
    needs=frozenset(),
    embeddings=GRADIENTS,
    by_class=True,
    nested=True,
    summary='gradients near which all others of the class lie',
    source='Mirzasoleiman et al. 2020, arXiv 1906.01827',
    options={'part_size': PART_SIZE},
  ),
}
