"""Policies that keep examples far from each other, greedily: k-center."""

from collections.abc import Callable

import numpy as np

from datadiet.selection.embeddings import Embeddings
from datadiet.selection.interface import FEATURES, Policy, SelectionInputs

# Candidates at a time, at least and at most; examples compared at once.
_FEWEST, _MOST, _BLOCK = 256, 4096, 2048

Distances = Callable[..., np.ndarray]


def farthest_first(
  distances: Distances, num_examples: int, num_keep: int, first: int
) -> np.ndarray:
  """Picks what is furthest from all picked so far: int64[num_keep].

  The distance to the nearest centre only falls, so while the best of a few
  candidates is further than every other example was when last compared, it is
  the furthest of all: others are compared with the new centres together.

  Args:
    distances: (rows, columns) -> [rows, columns], any that grows with the
      distance.
    num_examples: N.
    num_keep: from 1 to N.
    first: the example to begin with.

  Returns:
    Positions in the order they were picked; ties go to the first example.
  """
  nearest = np.full(num_examples, np.inf, np.float32)
  picked = [first]
  num_compared, num_candidates = 0, _FEWEST
  while len(picked) < num_keep:
    centres = np.array(picked[num_compared:])
    num_compared = len(picked)
    for start in range(0, num_examples, _BLOCK):
      rows = slice(start, start + _BLOCK)
      to_centres = distances(rows, centres).min(axis=1)
      np.minimum(nearest[rows], to_centres, out=nearest[rows])
    nearest[centres] = -1
    order = np.argsort(-nearest, kind='stable')
    if nearest[order[0]] == 0:  # All that are left equal one that is kept.
      picked += order[: num_keep - num_compared].tolist()
      break
    candidates = np.sort(order[:num_candidates])
    bound = -np.inf
    if num_candidates < num_examples:
      bound = nearest[order[num_candidates]]
    values = nearest[candidates]
    between = distances(candidates, candidates)
    while len(picked) < num_keep:
      best = int(values.argmax())
      # The first needs no proof: `order` has it in front of all its ties.
      if values[best] <= bound and len(picked) > num_compared:
        break
      if values[best] < 0:
        break  # All candidates are picked.
      picked.append(int(candidates[best]))
      np.minimum(values, between[best], out=values)
      values[best] = -1
    num_new = len(picked) - num_compared
    num_candidates = min(max(_FEWEST, 4 * num_new), _MOST)
  return np.array(picked)


def k_center(
  inputs: SelectionInputs, num_keep: int, *, rng: np.random.Generator
) -> np.ndarray:
  """k-center greedy (Sener and Savarese 2018, ICLR, arXiv 1708.00489).

  From a random example on, the one that is furthest from all that are kept, in
  the Euclidean distance, over all classes. The paper begins with the examples
  that are labelled already.
  """
  embeddings = Embeddings.of(inputs, centred=True)
  first = int(rng.integers(len(embeddings)))
  distances = embeddings.squared_distances()
  return np.sort(farthest_first(distances, len(embeddings), num_keep, first))


def divergences(pred_probs: np.ndarray) -> Distances:
  """KL(p || q) + KL(q || p), halved, of predictions: float32[rows, columns].

  Args:
    pred_probs: float[N, num_classes].
  """
  probs = np.maximum(pred_probs, np.finfo(np.float32).tiny).astype(np.float64)
  logs = np.log(probs)
  own = np.einsum('nc,nc->n', probs, logs)
  left = np.concatenate([probs, logs], axis=1)
  right = np.concatenate([logs, probs], axis=1)

  def between(rows, columns) -> np.ndarray:
    sums = own[rows][:, None] + own[columns]
    divergence = 0.5 * (sums - left[rows] @ right[columns].T)
    return np.maximum(divergence, 0).astype(np.float32)

  return between


def contextual_diversity(
  inputs: SelectionInputs, num_keep: int, *, rng: np.random.Generator
) -> np.ndarray:
  """Contextual diversity (Agarwal et al. 2020, ECCV, arXiv 2008.05723).

  k-center greedy on predictions, with the symmetric Kullback-Leibler
  divergence, over all classes. The paper compares regions of images; for
  classification an image is one region, as in DeepCore.
  """
  first = int(rng.integers(inputs.num_examples))
  distances = divergences(inputs.array('pred_probs'))
  return np.sort(
    farthest_first(distances, inputs.num_examples, num_keep, first)
  )


POLICIES: dict[str, Policy] = {
  'k_center': Policy(
    function=k_center,
    needs=frozenset({'seed'}),
    embeddings=FEATURES,
    nested=True,
    summary='the furthest from all that are kept, greedily',
    source='Sener and Savarese 2018, arXiv 1708.00489',
  ),
  'contextual_diversity': Policy(
    function=contextual_diversity,
    needs=frozenset({'pred_probs', 'seed'}),
    nested=True,
    summary='predictions that diverge most from all that are kept, greedily',
    source='Agarwal et al. 2020, arXiv 2008.05723',
  ),
}
