"""RS2: another random subset each epoch (Okanovic et al. 2024, ICLR)."""

import itertools
from collections.abc import Iterator

import numpy as np

from datadiet.feeding.epochs import Epochs
from datadiet.runtime.randomness import ROUND_STREAM


class RandomEachEpoch(Epochs):
  """Random subsets, as in RS2 without replacement, arXiv 2305.18424.

  Subsets are cut, one after the other, from a permutation of all examples, then
  from another one. What is left at the end of a permutation starts the next
  subset, whose other examples come from the next permutation: none comes again
  in a subset, and none a third time before all came twice.
  """

  _next = 0

  def epoch(
    self, number: int, first_step: int, losses: np.ndarray | None
  ) -> tuple[np.ndarray, None]:
    del first_step, losses
    # Subsets follow from those before; epochs are nearly always asked for in
    # turn.
    if number < self._next or not self._next:
      self._next, self._waiting = 0, self._subsets()
    subset = next(itertools.islice(self._waiting, number - self._next, None))
    self._next = number + 1
    return self.shuffled(subset, number), None

  def _subsets(self) -> Iterator[np.ndarray]:
    """Endless subsets, int[num_kept] each."""
    waiting = self.example_index[:0]
    for cycle in itertools.count():
      rng = self.generator(ROUND_STREAM, cycle)
      new = rng.permutation(self.example_index)
      # Examples left from the last permutation come again at the end of this
      # one.
      again = np.isin(new, waiting)
      waiting = np.concatenate([waiting, new[~again], new[again]])
      while len(waiting) >= self.num_kept:
        yield waiting[: self.num_kept]
        waiting = waiting[self.num_kept :]
