"""InfoBatch: each epoch leaves out some of the examples that are learned well.

Qin et al. 2024, ICLR, arXiv 2303.04947. At the start of an epoch the examples
whose loss, at their last visit, was below the mean are pruned with a given
probability; the gradients of those that stay are scaled up, so that the
expected gradient is that of all the data; the last part of training goes
through everything.
"""

from typing import Any

import numpy as np

from datadiet.feeding.epochs import Epochs
from datadiet.runtime.randomness import PRUNING_STREAM


class InfoBatch(Epochs):
  """Epochs that are pruned by the losses of those before."""

  uses_losses = True
  takes_size = False

  def epoch(
    self, number: int, first_step: int, losses: np.ndarray | None
  ) -> tuple[np.ndarray, np.ndarray]:
    options = self.options
    last_part = (1 - options['full_fraction']) * self.num_steps
    assert losses is not None  # `uses_losses` is true.
    losses = losses[self.example_index].astype(np.float64)
    seen = np.isfinite(losses)
    kept = np.ones(len(losses), bool)
    weights = np.ones(len(losses), np.float32)
    if seen.any() and first_step < last_part:
      easy = np.flatnonzero(seen & (losses < losses[seen].mean()))
      rng = self.generator(PRUNING_STREAM, number)
      num_pruned = round(options['prune_fraction'] * len(easy))
      kept[rng.choice(easy, num_pruned, replace=False)] = False
      # Exact, also where the share of the pruned had to be rounded.
      weights[easy] = len(easy) / max(len(easy) - num_pruned, 1)
    if options['same_rate']:
      # The weights of an epoch sum to the number of all examples.
      weights *= np.float32(kept.sum() / len(kept))
    positions = self.shuffled(np.flatnonzero(kept), number)
    return self.example_index[positions], weights[positions]

  @classmethod
  def smallest_epoch(cls, num_kept: int, **options: Any) -> int:
    """All but the pruned, if every loss but one is below the mean."""
    return num_kept - round(options['prune_fraction'] * num_kept)
