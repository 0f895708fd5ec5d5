"""Feeds: the batches that the loop transfers to the devices for each call."""

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import jax
import numpy as np

from datadiet.errors import DataDietError, counted
from datadiet.feeding.order import steps_per_epoch
from datadiet.feeding.prefetch import prefetched
from datadiet.training.jobs import Job
from datadiet.training.losses import begin_epoch
from datadiet.training.plan import TrainingPlan
from datadiet.training.trainer import Trainer

# Made side by side: while the last images of one are decoded, there are others
# to decode.
_FEEDS_AT_ONCE = 2
# (number of steps, their batches as `Trainer.run_steps` takes them)
Feed = tuple[int, dict[str, jax.Array]]


class PlannedFeeds:
  """Feeds that do not depend on losses, prepared ahead in another thread."""

  def __init__(
    self,
    trainer: Trainer,
    jobs: Sequence[Job],
    plan: TrainingPlan,
    first_step: int,
  ):
    """Starts the thread; `close` ends it."""
    self._feeds = prefetched(_planned(trainer, jobs, plan, first_step))

  def take(self, step: int, state: Any) -> tuple[Any, int, dict]:
    """Returns the state, unchanged, the number of steps, and their feed."""
    del step
    return state, *next(self._feeds)

  def close(self) -> None:
    """Ends the thread."""
    self._feeds.close()


def _planned(
  trainer: Trainer,
  jobs: Sequence[Job],
  plan: TrainingPlan,
  step: int,
) -> Iterator[Feed]:
  blocks = trainer.index_blocks(jobs, step)

  def make(indices: list[np.ndarray], first: int) -> dict[str, jax.Array]:
    crops = trainer.crops(jobs, range(first, first + len(indices)))
    # JAX's transfer guards are per thread: the loop's does not apply here.
    with jax.transfer_guard('disallow'):
      return trainer.make_feed(indices, crops=crops)

  waiting: deque[tuple[int, Future]] = deque()
  with ThreadPoolExecutor(_FEEDS_AT_ONCE, 'feed') as threads:
    while step < plan.num_steps or waiting:
      while step < plan.num_steps and len(waiting) < _FEEDS_AT_ONCE:
        count = plan.steps_until_event(step)
        indices = [next(blocks) for _ in range(count)]
        waiting.append((count, threads.submit(make, indices, step)))
        step += count
      count, feed = waiting.popleft()
      yield count, feed.result()


class FeedsByLoss:
  """Feeds of epochs that depend on the losses of earlier epochs."""

  def __init__(self, trainer: Trainer, jobs: Sequence[Job], plan: TrainingPlan):
    """Prepares nothing: the state holds the epoch that each job is in."""
    self._trainer, self._jobs, self._plan = trainer, jobs, plan
    self._begin = trainer.run_mesh.per_run(begin_epoch, shared=(2,))
    self._epochs: list[tuple[int, np.ndarray, np.ndarray]] = []

  def take(self, step: int, state: Any) -> tuple[Any, int, dict]:
    """Returns the state, the number of steps, and their feed.

    Where an epoch begins, the state is told, after waiting for earlier steps.
    """
    if not self._epochs:
      self._read_epochs(state)
    ended = np.array([not self._steps_left(slot, step) for slot in self._slots])
    if ended.any():
      run_mesh = self._trainer.run_mesh
      begins = run_mesh.put(ended, run_mesh.by_run)
      at_step = run_mesh.put(np.int32(step), run_mesh.replicated)
      state = state.replace(losses=self._begin(state.losses, begins, at_step))
      self._read_epochs(state)
    left = min(self._steps_left(slot, step) for slot in self._slots)
    count = min(self._plan.steps_until_event(step), left)
    steps = range(step, step + count)
    feed = self._trainer.make_feed(
      [self._block(0, at) for at in steps],
      [self._block(1, at) for at in steps],
      self._trainer.crops(self._jobs, steps),
    )
    return state, count, feed

  def close(self) -> None:
    """Does nothing."""

  @property
  def _slots(self) -> range:
    return range(len(self._jobs))

  def _read_epochs(self, state: Any) -> None:
    """Computes the current epoch of each slot from the state's losses."""
    losses = self._trainer.run_mesh.to_host(state.losses)
    self._epochs = []
    for slot, job in enumerate(self._jobs):
      first_step = int(losses.first_step[slot])
      order, weights = job.epochs.epoch(
        int(losses.epoch[slot]), first_step, losses.epoch_loss[slot]
      )
      if len(order) < self._plan.train.batch_size:
        raise DataDietError(
          f'{job.name}: an epoch of {counted(len(order), "example")} is '
          f'smaller than a batch of {self._plan.train.batch_size}'
        )
      if weights is None:
        weights = np.ones(len(order), np.float32)
      self._epochs.append((first_step, order.astype(np.int32), weights))

  def _steps_left(self, slot: int, step: int) -> int:
    first_step, order, _ = self._epochs[slot]
    num_steps = steps_per_epoch(len(order), self._plan.train.batch_size)
    return first_step + num_steps - step

  def _block(self, part: int, step: int) -> np.ndarray:
    """A step's example indices (part 0) or weights (part 1), for all slots."""
    size = self._plan.train.batch_size
    rows = []
    for first_step, *parts in self._epochs:
      start = (step - first_step) * size
      rows.append(parts[part][start : start + size])
    return np.stack(rows)


@contextlib.contextmanager
def open_feeds(
  trainer: Trainer,
  jobs: Sequence[Job],
  plan: TrainingPlan,
  first_step: int,
) -> Iterator[PlannedFeeds | FeedsByLoss]:
  """The feeds of a wave from a step on, closed at the end of the block."""
  feeds: PlannedFeeds | FeedsByLoss
  if plan.uses_losses:
    feeds = FeedsByLoss(trainer, jobs, plan)
  else:
    feeds = PlannedFeeds(trainer, jobs, plan, first_step)
  with contextlib.closing(feeds):
    yield feeds
