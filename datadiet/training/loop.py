"""The training loop: waves of runs, history, checkpoints, stopping in time."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from etils import epath

from datadiet import artifacts, checkpoints, parallel, preemption
from datadiet.data.dataset import Dataset
from datadiet.errors import DataDietError, Preempted
from datadiet.progress import Progress, progress
from datadiet.training.dynamics import dynamics_arrays
from datadiet.training.feeds import open_feeds
from datadiet.training.history import History
from datadiet.training.initial import start_from
from datadiet.training.jobs import Job, Wave, next_wave
from datadiet.training.settings import TrainSettings
from datadiet.training.trainer import Trainer

# Dispatches that may wait on the device before the host waits for the oldest:
# enough to keep it busy, few enough that a stop is answered soon.
_DISPATCHES_IN_FLIGHT = 2


def train_jobs(
  jobs: Sequence[Job],
  dataset: Dataset,
  settings: TrainSettings,
  run_mesh: parallel.RunMesh,
  *,
  name: str,
) -> None:
  """Trains all jobs that are not finished; each ends with a manifest.

  Args:
    jobs: what to train; finished ones are skipped, others go on where they
      were.
    dataset: the data; jobs train on subsets of its train split.
    settings: the same for all jobs.
    run_mesh: where to train.
    name: what is being done, for a person.

  Raises:
    DataDietError: for a subset smaller than a batch, a loss that is not
      finite, or files that cannot be written.
    Preempted: if the process was asked to stop; everything is saved.
  """
  for job in jobs:
    smallest = job.num_kept
    if settings.infobatch is not None:
      smallest -= round(settings.infobatch.prune_fraction * smallest)
    if smallest < settings.batch_size:
      raise DataDietError(
        f'{job.name}: a subset of {smallest} examples is smaller than a batch '
        f'of {settings.batch_size}'
      )
  pending = [job for job in jobs if not is_trained(job.folder, dataset)]
  if not pending:
    return
  trainer = Trainer(dataset, settings, run_mesh)
  while pending:
    wave = next_wave(pending, run_mesh.num_slots)
    label = f'{name} {len(jobs) - len(pending) + 1}'
    if len(wave.jobs) > 1:
      label += f'-{len(jobs) - len(pending) + len(wave.jobs)}'
    label += f' of {len(jobs)}'
    try:
      _WaveLoop(trainer, wave, dataset, settings).train(label)
    except checkpoints.DamagedCheckpoint:
      found = [_set_aside_if_damaged(job, wave.first_step) for job in wave.jobs]
      if not any(found):  # Damaged once, whole now: a file system to distrust.
        raise
      continue
    done = {job.folder for job in wave.jobs}
    pending = [job for job in pending if job.folder not in done]


def is_trained(run_folder: epath.Path, dataset: Dataset) -> bool:
  """Whether the manifest of a run says it is finished.

  Raises:
    DataDietError: if it was trained on other data.
  """
  return artifacts.is_complete(run_folder, fingerprint=dataset.fingerprint)


def _set_aside_if_damaged(job: Job, step: int) -> bool:
  try:
    checkpoints.verify(job.folder, step)
  except checkpoints.DamagedCheckpoint:
    checkpoints.set_aside(job.folder, step)
    return True
  return False


@dataclasses.dataclass
class _Pending:
  """A row of the history whose figures may still be on the device."""

  step: int
  meters: Any
  evaluation: dict[str, jax.Array] | None


class _WaveLoop:
  """Trains one wave from its first step to the last."""

  def __init__(
    self,
    trainer: Trainer,
    wave: Wave,
    dataset: Dataset,
    settings: TrainSettings,
  ):
    self._trainer = trainer
    self._jobs = wave.jobs
    self._first_step = wave.first_step
    self._dataset = dataset
    self._settings = settings
    # The last wave may not fill the mesh: its first job runs again there, and
    # what comes out is dropped.
    empty = trainer.run_mesh.num_slots - len(wave.jobs)
    self._slots = [*wave.jobs, *[wave.jobs[0]] * empty]
    self._pending: list[_Pending] = []

  def train(self, label: str) -> None:
    """Trains, saves, and declares the jobs finished."""
    state = self._initial_state()
    saved = [
      slot for slot in parallel.own_slots(state) if slot < len(self._jobs)
    ]
    self._histories = {
      slot: History(self._jobs[slot].folder, self._first_step) for slot in saved
    }
    self._writers = {
      slot: checkpoints.CheckpointWriter(
        self._jobs[slot].folder, self._settings.keep_steps
      )
      for slot in saved
    }
    num_images = self._settings.batch_size * len(self._jobs)
    started = time.monotonic()
    try:
      with progress(
        label,
        self._settings.num_steps * num_images,
        'images',
        initial=self._first_step * num_images,
      ) as shown:
        self._loop(state, shown, num_images)
      rate = shown.rate
    finally:
      for writer in self._writers.values():
        writer.close()
    for slot in saved:
      self._histories[slot].close()
      self._finish(slot)
    logging.info(
      '%s: done in %.1f s (%.1f images/s)%s',
      label,
      time.monotonic() - started,
      rate,
      self._accuracy_note(),
    )

  def _initial_state(self):
    if self._first_step == 0:
      state = self._trainer.init(self._slots)
      if self._settings.init_from:
        state = start_from(self._settings.init_from, state, self._trainer)
      return state
    template = self._trainer.state_shapes()
    restored = {
      job.folder: checkpoints.restore_state(
        job.folder, self._first_step, template
      )
      for job in self._jobs
    }
    logging.info(
      'Going on from step %d: %s',
      self._first_step,
      ', '.join(job.name for job in self._jobs),
    )
    return self._trainer.put([restored[job.folder] for job in self._slots])

  def _loop(self, state: Any, shown: Progress, num_images: int) -> None:
    settings, step = self._settings, self._first_step
    if step == 0 and 0 in settings.keep_steps:
      self._save(0, state)
    keys = self._trainer.augmentation_keys(self._slots)
    in_flight = []
    with open_feeds(self._trainer, self._slots, settings, step) as feeds:
      while step < settings.num_steps:
        state, count, feed = feeds.take(step, state)
        # Between log points nothing but indices goes to the device, and
        # nothing comes back.
        with jax.transfer_guard('disallow'):
          state = self._trainer.run_steps(state, feed, keys, count)
          in_flight.append(jnp.copy(state.step))
        if len(in_flight) > _DISPATCHES_IN_FLIGHT:
          in_flight.pop(0).block_until_ready()
        step += count
        shown.advance(count * num_images, self._accuracy_note())
        if step == settings.next_event(step - count):
          state = self._handle_events(step, state)
        if preemption.stop_requested():
          self._stop(step, state)
    self._flush()

  def _handle_events(self, step: int, state: Any) -> Any:
    settings = self._settings
    if settings.is_log_step(step):
      # Figures of the row before have arrived by now: no wait.
      self._flush()
      state, meters = self._trainer.take_meters(state)
      evaluation = None
      if settings.is_eval_step(step):
        evaluation = self._trainer.evaluate(state)
      self._pending.append(_Pending(step, meters, evaluation))
    if settings.is_checkpoint_step(step):
      self._save(step, state)
    return state

  def _stop(self, step: int, state: Any) -> None:
    if not self._settings.is_checkpoint_step(step):
      self._save(step, state)
    for writer in self._writers.values():
      writer.wait()
    raise Preempted

  def _save(self, step: int, state: Any) -> None:
    self._flush()
    self._check_finite(state.meters)
    for slot, writer in self._writers.items():
      host_state = parallel.slot_to_host(state, slot)
      self._histories[slot].write()
      if step in self._settings.keep_steps or step == self._settings.num_steps:
        self._write_dynamics(slot, step, host_state.dynamics)
      writer.save(step, host_state)

  def _write_dynamics(self, slot: int, step: int, dynamics: Any) -> None:
    job = self._jobs[slot]
    path = job.folder / 'dynamics' / f'{artifacts.step_name(step)}.npz'
    # The rings are only needed to go on, and are in the checkpoint.
    arrays = {
      name: array
      for name, array in dynamics_arrays(dynamics).items()
      if array.ndim == 1
    }
    arrays['window'] = np.int32(self._settings.dynamics.window)
    artifacts.write_npz(path, {'trained_on': job.example_index, **arrays})

  def _flush(self) -> None:
    """Fetches the figures of waiting rows and writes them down."""
    for row in self._pending:
      self._check_finite(row.meters)
      meters = {
        slot: parallel.slot_to_host(row.meters, slot)
        for slot in self._histories
      }
      for slot, history in self._histories.items():
        history.open_events()
        evaluation = None
        if row.evaluation is not None:
          evaluation = parallel.slot_to_host(row.evaluation, slot)
        history.add(self._row(slot, row.step, meters[slot], evaluation))
    self._pending.clear()

  def _row(self, slot, step, meters, evaluation) -> dict[str, Any]:
    per_epoch = self._jobs[slot].num_kept // self._settings.batch_size
    rate = self._trainer.learning_rate(step - 1)
    row = {
      'step': step,
      'epoch': step / per_epoch,
      'learning_rate': float(jax.device_get(rate)),
    }
    if meters.count:
      row['train_loss'] = float(meters.loss) / int(meters.count)
      row['train_accuracy'] = int(meters.correct) / int(meters.count)
    if evaluation is not None:
      row['test_loss'] = float(evaluation['loss']) / int(evaluation['count'])
      row['test_accuracy'] = int(evaluation['correct']) / int(
        evaluation['count']
      )
    return row

  def _check_finite(self, meters: Any) -> None:
    for slot in self._histories:
      step = int(parallel.slot_to_host(meters.nonfinite_step, slot))
      if step >= 0:
        raise DataDietError(
          f'{self._jobs[slot].name}: the loss is not finite from step {step} '
          'on; lower config.optimizer.learning_rate or check the data (earlier '
          'checkpoints are untouched)'
        )

  def _finish(self, slot: int) -> None:
    job, latest = self._jobs[slot], self._histories[slot].latest
    artifacts.write_manifest(
      job.folder,
      {
        'kind': 'training run',
        'fingerprint': self._dataset.fingerprint,
        'labels_fingerprint': self._dataset.labels_fingerprint,
        'run': job.run,
        'num_examples': job.num_kept,
        'num_steps': self._settings.num_steps,
        'settings': dataclasses.asdict(self._settings),
        'keep_steps': checkpoints.variable_steps(job.folder),
        'test_accuracy': latest.get('test_accuracy'),
        'test_loss': latest.get('test_loss'),
      },
    )

  def _accuracy_note(self) -> str:
    accuracies = [
      history.latest['test_accuracy']
      for history in self._histories.values()
      if 'test_accuracy' in history.latest
    ]
    if not accuracies:
      return ''
    return f' test accuracy {100 * np.mean(accuracies):.2f} %'
