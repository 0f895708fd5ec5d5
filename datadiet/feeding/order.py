"""The order of examples: a function of (seed, run, epoch), with no state.

Nothing here knows how many devices or hosts there are, so the order does not
depend on them, and a resumed run needs no iterator to be restored.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from datadiet.errors import DataDietError
from datadiet.runtime.randomness import (
  ORDER_STREAM,
  ROUND_STREAM,
  SUBSET_STREAM,
  generator,
)


def held_out_subsets(
  num_examples: int, num_runs: int, fraction: float, *, seed: int
) -> np.ndarray:
  """A random subset for each run, so that every example is in and out.

  Each example is in floor or ceil of `fraction * num_runs` runs, which makes
  every run's subset `fraction` of the examples on average.

  Args:
    num_examples: N.
    num_runs: how many subsets.
    fraction: of the examples in each; see `enough_runs`.
    seed: `data_seed`.

  Returns:
    bool[num_runs, N], true where a run trains on an example.
  """
  rng = generator(seed, 0, SUBSET_STREAM)
  expected = fraction * num_runs
  extra = rng.random(num_examples) < expected - np.floor(expected)
  times = np.floor(expected) + extra
  rank = rng.random((num_runs, num_examples)).argsort(0).argsort(0)
  return rank < times


def enough_runs(num_runs: int, fraction: float) -> bool:
  """Whether subsets can leave every example in and out of at least one run."""
  expected = round(fraction * num_runs, 9)
  return expected >= 1 and np.ceil(expected) <= num_runs - 1


def epoch_order(
  example_index: np.ndarray, *, seed: int, run: int, epoch: int
) -> np.ndarray:
  """A run's permutation of its examples in one epoch.

  Args:
    example_index: int[num_kept], the examples the run trains on.
    seed: `data_seed`.
    run: the run's number.
    epoch: from 0.

  Returns:
    int[num_kept].
  """
  return generator(seed, run, ORDER_STREAM, epoch).permutation(example_index)


def random_subsets(
  example_index: np.ndarray, *, size: int, seed: int, run: int
) -> Iterator[np.ndarray]:
  """Endless random subsets, one an epoch, as in RS2 without replacement.

  No example comes again before all have come: the subsets are cut, one after
  the other, from a permutation of all examples, then from another one. What is
  left at the end of a permutation starts the next subset. Okanovic et al. 2024,
  ICLR, arXiv 2305.18424.

  Args:
    example_index: int[N], the examples to draw from.
    size: examples a subset, at most N.
    seed: `data_seed`.
    run: the run's number.

  Yields:
    int[size], distinct.
  """
  waiting = example_index[:0]
  for cycle in itertools.count():
    rng = generator(seed, run, ROUND_STREAM, cycle)
    new = rng.permutation(example_index)
    # Those still waiting from before come again at the end of this round.
    again = np.isin(new, waiting)
    waiting = np.concatenate([waiting, new[~again], new[again]])
    while len(waiting) >= size:
      yield waiting[:size]
      waiting = waiting[size:]


def batches(
  example_index: np.ndarray,
  *,
  batch_size: int,
  seed: int,
  run: int,
  first_step: int = 0,
  epoch_size: int = 0,
) -> Iterator[np.ndarray]:
  """Endless batches of example indices, starting at any optimizer step.

  The last, incomplete batch of each epoch is dropped, as in the paper.

  Args:
    example_index: int[num_kept]; at least one batch.
    batch_size: examples a batch.
    seed: `data_seed`.
    run: the run's number.
    first_step: the optimizer step of the first batch.
    epoch_size: examples an epoch, a new random subset each time; 0 for all.

  Yields:
    int32[batch_size].

  Raises:
    DataDietError: if there are fewer examples than one batch.
  """
  num_examples = epoch_size or len(example_index)
  steps_per_epoch = num_examples // batch_size
  if not steps_per_epoch:
    raise DataDietError(
      f'{num_examples} examples do not fill one batch of {batch_size}'
    )
  subsets: Iterator[np.ndarray] = itertools.repeat(example_index)
  if epoch_size:
    subsets = random_subsets(example_index, size=epoch_size, seed=seed, run=run)
  first_epoch, offset = divmod(first_step, steps_per_epoch)
  subsets = itertools.islice(subsets, first_epoch, None)
  for epoch, subset in enumerate(subsets, first_epoch):
    order = epoch_order(subset, seed=seed, run=run, epoch=epoch)
    for position in range(offset, steps_per_epoch):
      start = position * batch_size
      yield order[start : start + batch_size].astype(np.int32)
    offset = 0
