"""SeTa: epochs of a random draw, within a window that slides over the losses.

Zhou et al. 2025, CVPR, arXiv 2503.13385. Part of the examples is left out at
random; the others are grouped by their losses, and an epoch goes through the
groups in a window that moves from easy to hard, and again; the last part of
training goes through random draws.
"""

from typing import Any

import numpy as np

from datadiet.feeding.epochs import Epochs
from datadiet.runtime.randomness import PRUNING_STREAM

_MAX_ITERATIONS = 300  # scikit-learn's, which the authors use.


class SeTa(Epochs):
  """Epochs by the losses of those before, all with a weight of 1.

  Differs from the authors' code where results would depend on chance or the
  machine: k-means starts from groups of equal size, not from random centres,
  and a window of few examples is widened to `least_fraction` of all. What was
  never visited has the largest loss seen; there it has one of 3.
  """

  uses_losses = True
  takes_size = False

  def epoch(
    self, number: int, first_step: int, losses: np.ndarray | None
  ) -> tuple[np.ndarray, None]:
    options, num_examples = self.options, len(self.example_index)
    last_part = (1 - options['random_fraction']) * self.num_steps
    assert losses is not None  # `uses_losses` is true.
    rng = self.generator(PRUNING_STREAM, number)
    num_drawn = _num_drawn(num_examples, options['prune_fraction'])
    drawn = rng.permutation(self.example_index)[:num_drawn]
    drawn_losses = losses[drawn].astype(np.float64)
    seen = np.isfinite(drawn_losses)
    if number and seen.any() and first_step < last_part:
      drawn_losses[~seen] = drawn_losses[seen].max()
      drawn = drawn[np.argsort(drawn_losses, kind='stable')]
      edges = loss_groups(np.sort(drawn_losses), options['num_groups'])
      start, end = self._window(edges, number)
      drawn = drawn[start:end]
    return self.shuffled(drawn, number), None

  def _window(self, edges: np.ndarray, number: int) -> tuple[int, int]:
    """From which to which of the sorted examples an epoch goes."""
    num_groups = len(edges) - 1
    size = max(1, round(num_groups * self.options['window_fraction']))
    first = number % (num_groups - size + 1)
    start, end = int(edges[first]), int(edges[first + size])
    least = self.smallest_epoch(len(self.example_index), **self.options)
    # Easier ones first, then harder ones.
    start = max(0, min(start, end - least))
    return start, max(end, start + least)

  @classmethod
  def smallest_epoch(cls, num_kept: int, **options: Any) -> int:
    """What a window is widened to."""
    least = max(1, round(options['least_fraction'] * num_kept))
    return min(least, _num_drawn(num_kept, options['prune_fraction']))


def _num_drawn(num_examples: int, prune_fraction: float) -> int:
  return num_examples - round(prune_fraction * num_examples)


def loss_groups(losses: np.ndarray, num_groups: int) -> np.ndarray:
  """Groups losses by k-means, which cuts a sorted line into intervals.

  Args:
    losses: float64[num], ascending and finite.
    num_groups: k; fewer where there are fewer losses.

  Returns:
    int64[num_groups + 1], where each group begins, and the end.
  """
  num_groups = min(num_groups, len(losses))
  edges = np.linspace(0, len(losses), num_groups + 1).round().astype(np.int64)
  if losses[0] == losses[-1]:
    return edges
  sums = np.concatenate([[0.0], np.cumsum(losses)])
  centres = np.zeros(num_groups)
  for _ in range(_MAX_ITERATIONS):
    sizes = np.diff(edges)
    some = sizes > 0  # A group that has lost all keeps its centre.
    centres[some] = np.diff(sums[edges])[some] / sizes[some]
    between = (centres[1:] + centres[:-1]) / 2
    cuts = np.searchsorted(losses, between, side='right')
    moved = np.concatenate([[0], cuts, [len(losses)]])
    if (moved == edges).all():
      break
    edges = moved
  return edges
