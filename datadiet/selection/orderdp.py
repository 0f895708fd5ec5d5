"""OrderDP: each epoch draws examples and keeps those with the largest losses.

Jin et al. 2026, ICLR, arXiv 2606.08574. All that are kept weigh the same: the
training follows, without a bias, a surrogate loss that leans to the hard ones.
"""

import numpy as np

from datadiet.feeding.epochs import Epochs
from datadiet.runtime.randomness import PRUNING_STREAM


class OrderDP(Epochs):
  """The top `num_kept` by loss of a random draw, another one each epoch.

  Losses are those of the last visits, as in the authors' code. What was never
  visited counts as the largest; there it gets a loss of 3.
  """

  uses_losses = True

  def epoch(
    self, number: int, first_step: int, losses: np.ndarray | None
  ) -> tuple[np.ndarray, None]:
    del first_step
    assert losses is not None  # `uses_losses` is true.
    num_examples = len(self.example_index)
    num_drawn = round(self.options['draw_fraction'] * num_examples)
    rng = self.generator(PRUNING_STREAM, number)
    drawn = rng.permutation(self.example_index)
    drawn = drawn[: max(num_drawn, self.num_kept)]
    # The draw is in random order, and so ties are broken.
    hardest = np.argsort(-losses[drawn], kind='stable')[: self.num_kept]
    return self.shuffled(drawn[hardest], number), None
