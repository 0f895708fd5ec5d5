"""Jobs to be trained, and the waves in which they share the mesh."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from etils import epath

from datadiet.feeding.epochs import Epochs
from datadiet.runtime import processes
from datadiet.workdir import checkpoints


@dataclasses.dataclass(frozen=True)
class Job:
  """One run to be trained.

  Attributes:
    name: for log lines, such as 'train/run_03'.
    folder: where its artifacts are written.
    run: its number, from which its random streams are derived.
    epochs: the examples of each epoch.
    described: the selection that it trains on, or the fold that it does not,
      for its manifest; None for all the data.
  """

  name: str
  folder: epath.Path
  run: int
  epochs: Epochs
  described: dict[str, Any] | None = None

  @property
  def example_index(self) -> np.ndarray:
    """int64[num], all the examples it may train on, ascending."""
    return self.epochs.example_index

  @property
  def num_kept(self) -> int:
    """The number of examples in one epoch."""
    return self.epochs.num_kept

  @property
  def smallest_epoch(self) -> int:
    """The smallest number of examples that an epoch can have."""
    return self.epochs.smallest_epoch(self.num_kept, **self.epochs.options)


@dataclasses.dataclass(frozen=True)
class Wave:
  """Jobs that train side by side, all from the same step on.

  Attributes:
    jobs: at most one for each slot of the mesh.
    first_step: the step they resume from; 0 to start.
  """

  jobs: tuple[Job, ...]
  first_step: int


def next_wave(pending: Sequence[Job], num_slots: int) -> Wave:
  """The next jobs to train together, and the step they resume from.

  Takes the first jobs that fit. Runs of one wave are saved one by one, so a
  crash may leave some a checkpoint ahead: they resume from the newest step that
  all have. Where that would discard all progress of a job, only jobs at the
  same step are taken.

  Args:
    pending: unfinished jobs, in order; at least one.
    num_slots: how many fit.
  """
  numbers, first_step = processes.broadcast_from_lead(
    lambda: _next_wave(pending, num_slots)
  )
  return Wave(tuple(pending[number] for number in numbers), first_step)


def _next_wave(pending: Sequence[Job], num_slots: int) -> tuple[list[int], int]:
  """The positions of the jobs in `pending`, and their step."""
  steps = [{0, *checkpoints.full_steps(job.folder)} for job in pending]
  numbers = list(range(len(pending)))[:num_slots]
  common = max(set.intersection(*(steps[number] for number in numbers)))
  if common == 0 and any(max(steps[number]) > 0 for number in numbers):
    common = max(steps[0])
    equal = [n for n, found in enumerate(steps) if max(found) == common]
    numbers = equal[:num_slots]
  return numbers, common


def set_damaged_aside(wave: Wave) -> int:
  """Renames damaged checkpoints that a wave starts from; returns how many."""
  num_damaged = 0
  for job in wave.jobs:
    try:
      checkpoints.verify(job.folder, wave.first_step)
    except checkpoints.DamagedCheckpoint:
      checkpoints.set_aside(job.folder, wave.first_step)
      num_damaged += 1
  return num_damaged
