"""The examples of each epoch of a run, and their order."""

import abc
from typing import Any

import numpy as np

from datadiet.runtime.randomness import ORDER_STREAM, generator


class Epochs(abc.ABC):
  """The epochs of one run.

  An epoch is a function of its number and, where `uses_losses` is true, of the
  train state, so that a stopped run resumes exactly. An object may cache
  results, but must keep no state that changes them.

  Attributes:
    uses_losses: whether an epoch depends on the losses of earlier ones. Only
      then may epochs differ in length, and losses have weights.
    takes_size: whether it needs the number of examples to keep; else it uses
      all of them, except those that an epoch leaves out.
    num_kept: examples per epoch, as far as known before training.
    options: of the policy.
  """

  uses_losses = False
  takes_size = True

  def __init__(
    self,
    example_index: np.ndarray,
    *,
    seed: int,
    run: int,
    num_kept: int = 0,
    num_steps: int = 0,
    **options: Any,
  ):
    """Draws nothing yet.

    Args:
      example_index: int[num], the examples that there are to train on.
      seed: `data_seed`.
      run: the run's number.
      num_kept: examples an epoch; 0 for all.
      num_steps: optimizer steps of the whole training.
      **options: of the policy, checked.
    """
    self.example_index = example_index
    self.num_kept = num_kept or len(example_index)
    self.num_steps = num_steps
    self.options = options
    self._seed, self._run = seed, run

  @abc.abstractmethod
  def epoch(
    self, number: int, first_step: int, losses: np.ndarray | None
  ) -> tuple[np.ndarray, np.ndarray | None]:
    """The examples of an epoch in their order, and weights of their losses.

    Args:
      number: of the epoch, from 0.
      first_step: the optimizer step that it begins with.
      losses: float32[N] at each example's last visit before the epoch, inf
        before the first, of the whole train split; None unless `uses_losses`.

    Returns:
      int[num], distinct, and float32[num] or None for weights of 1.
    """

  @classmethod
  def smallest_epoch(cls, num_kept: int, **options: Any) -> int:
    """The smallest number of examples in an epoch, given `num_kept`."""
    del options
    return num_kept

  def generator(self, stream: int, number: int) -> np.random.Generator:
    """The run's random generator of a stream for an epoch."""
    return generator(self._seed, self._run, stream, number)

  def shuffled(self, examples: np.ndarray, number: int) -> np.ndarray:
    """Shuffles examples into the order of an epoch."""
    return self.generator(ORDER_STREAM, number).permutation(examples)


class AllExamples(Epochs):
  """Every example once an epoch."""

  def epoch(
    self, number: int, first_step: int, losses: np.ndarray | None
  ) -> tuple[np.ndarray, None]:
    del first_step, losses
    return self.shuffled(self.example_index, number), None
