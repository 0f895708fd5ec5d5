"""The order of examples: a function of (seed, run, epoch), with no state.

Nothing here knows how many devices or hosts there are, so the order does not
depend on them, and a resumed run needs no iterator to be restored.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from datadiet.errors import DataDietError, counted
from datadiet.feeding.epochs import Epochs
from datadiet.runtime.randomness import (
  FOLD_STREAM,
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


def fold_subsets(
  labels: np.ndarray, num_runs: int, folds: int, *, seed: int
) -> np.ndarray:
  """The subsets of cross-validation: run r leaves out fold r % folds.

  Every `folds` runs are a repeat with a draw of its own, in which each example
  is left out by exactly one run. Folds are stratified: in size, and in the
  number of each class, they differ by one at most. A repeat does not depend on
  how many others there are.

  Args:
    labels: int[N].
    num_runs: a multiple of `folds`.
    folds: 2 or more.
    seed: `data_seed`.

  Returns:
    bool[num_runs, N], true where a run trains on an example.
  """
  inside = np.ones((num_runs, len(labels)), bool)
  for repeat in range(num_runs // folds):
    shuffled = generator(seed, repeat, FOLD_STREAM).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind='stable')]
    for fold in range(folds):
      inside[repeat * folds + fold, by_class[fold::folds]] = False
  return inside


def steps_per_epoch(num_examples: int, batch_size: int) -> int:
  """Batches in one pass; the last, incomplete one is dropped, as in the paper.

  Args:
    num_examples: that an epoch goes through.
    batch_size: examples a batch.
  """
  return num_examples // batch_size


def batches(
  epochs: Epochs, *, batch_size: int, first_step: int = 0
) -> Iterator[np.ndarray]:
  """Endless batches of example indices, starting at any optimizer step.

  Args:
    epochs: of one run; all of `epochs.num_kept` examples.
    batch_size: examples a batch.
    first_step: the optimizer step of the first batch.

  Yields:
    int32[batch_size].

  Raises:
    DataDietError: if there are fewer examples than one batch, or an epoch is
      invalid.
  """
  num_steps = steps_per_epoch(epochs.num_kept, batch_size)
  if not num_steps:
    raise DataDietError(
      f'{counted(epochs.num_kept, "example")} cannot fill a batch of '
      f'{batch_size}'
    )
  first_epoch, offset = divmod(first_step, num_steps)
  for number in itertools.count(first_epoch):
    order, weights = epochs.epoch(number, number * num_steps, None)
    if len(order) != epochs.num_kept or weights is not None:
      raise DataDietError(
        f'{type(epochs).__name__}: epoch {number} has {len(order)} examples'
        f'{"" if weights is None else " with weights"}; without uses_losses it '
        f'must have {epochs.num_kept} and no weights'
      )
    for position in range(offset, num_steps):
      start = position * batch_size
      yield order[start : start + batch_size].astype(np.int32)
    offset = 0
