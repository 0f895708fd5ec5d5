"""TracIn's influence of an example on itself, and its limits.

Pruthi et al. 2020, arXiv 2002.08484.
"""

from collections.abc import Iterable, Sequence

import numpy as np

# A checkpoint counts for next to nothing below this share of the largest rate.
_SMALL_SHARE = 0.01


def tracin_self(
  grand_by_step: Iterable[np.ndarray], rates: Sequence[float]
) -> np.ndarray:
  """Sum over checkpoints of the learning rate times grand squared.

  Args:
    grand_by_step: float32[N] for each checkpoint.
    rates: of the updates that led to the checkpoints.

  Returns:
    float32[N].
  """
  terms = [
    rate * np.square(grand.astype(np.float64))
    for rate, grand in zip(rates, grand_by_step, strict=True)
  ]
  return np.asarray(sum(terms), np.float32)


def doubts(
  steps: Sequence[int], rates: Sequence[float], *, peak: float, optimizer: str
) -> list[str]:
  """Sentences on what a tracin_self of these checkpoints leaves out.

  Args:
    steps: of the checkpoints.
    rates: of the updates that led to them.
    peak: the largest learning rate of the schedule.
    optimizer: 'sgd' or another one.
  """
  found = []
  faint = [
    str(step)
    for step, rate in zip(steps, rates, strict=True)
    if rate < _SMALL_SHARE * peak
  ]
  if faint:
    found.append(
      f'tracin_self: the learning rate at step {", ".join(faint)} has fallen '
      f'to less than {100 * _SMALL_SHARE:.0f} % of its peak, so that these '
      'steps hardly count; score steps from all of training (score.steps)'
    )
  if optimizer != 'sgd':
    found.append(
      f'tracin_self is defined for steps along the gradient; {optimizer} '
      'divides each by its size, and only about half of the examples that rank '
      'highest are the same if the score does so too; train with '
      'optimizer.name=sgd to use it'
    )
  return found
