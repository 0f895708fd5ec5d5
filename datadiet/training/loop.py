"""The training loop: waves of runs, history, checkpoints, stopping in time."""

import contextlib
import functools
import time
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from absl import logging
from etils import epath

from datadiet.data.dataset import Dataset
from datadiet.errors import DataDietError, Preempted, counted
from datadiet.feeding.placement import Placements
from datadiet.runtime import mesh as mesh_lib
from datadiet.runtime import processes, stopping
from datadiet.runtime.progress import Progress, progress
from datadiet.training.dynamics import stored_arrays
from datadiet.training.feeds import open_feeds
from datadiet.training.in_flight import InFlight
from datadiet.training.initial import start
from datadiet.training.jobs import (
  Job,
  Wave,
  next_wave,
  set_damaged_aside,
)
from datadiet.training.metrics import WaveMetrics
from datadiet.training.plan import TrainingPlan
from datadiet.training.profiling import StepProfile
from datadiet.training.trainer import Trainer
from datadiet.workdir import artifacts, checkpoints
from datadiet.workdir.arrays import MissingArray


def train_jobs(
  jobs: Sequence[Job],
  dataset: Dataset,
  plan: TrainingPlan,
  run_mesh: mesh_lib.RunMesh,
  *,
  name: str,
  placements: Placements | None = None,
) -> None:
  """Trains all jobs that are not finished; each ends with a manifest.

  Args:
    jobs: what to train; finished ones are skipped, others are resumed.
    dataset: the data; jobs train on subsets of its train split.
    plan: how to train, the same for all jobs.
    run_mesh: the mesh to train on.
    name: what is being done, for progress and log lines.
    placements: where data that is already on the devices is found; None to put
      it there for these jobs alone.

  Raises:
    DataDietError: for a subset smaller than a batch, a loss that is not
      finite, or files that cannot be written.
    Preempted: if the process was asked to stop; everything is saved.
  """
  for job in jobs:
    if job.smallest_epoch < plan.train.batch_size:
      raise DataDietError(
        f'{job.name}: a subset of {counted(job.smallest_epoch, "example")} is '
        f'smaller than a batch of {plan.train.batch_size}'
      )
  numbers = processes.broadcast_from_lead(
    lambda: [
      number
      for number, job in enumerate(jobs)
      if not is_trained(job.folder, dataset)
    ]
  )
  pending = [jobs[number] for number in numbers]
  if not pending:
    return
  trainer = Trainer(dataset, plan, run_mesh, placements)
  profile_steps = plan.train.profile_steps
  while pending:
    # A request may have come while the last wave was saved.
    processes.stop_if_any_is_asked_to()
    wave = next_wave(pending, run_mesh.num_slots)
    label = f'{name} {len(jobs) - len(pending) + 1}'
    if len(wave.jobs) > 1:
      label += f'-{len(jobs) - len(pending) + len(wave.jobs)}'
    label += f' of {len(jobs)}'
    try:
      _WaveLoop(trainer, wave, dataset, profile_steps).train(label)
    except checkpoints.DamagedCheckpoint:
      if not processes.broadcast_from_lead(
        functools.partial(set_damaged_aside, wave)
      ):
        raise  # Damaged before, whole now: the file system cannot be trusted.
      continue
    profile_steps = ()  # Later waves do the same again.
    done = {job.folder for job in wave.jobs}
    pending = [job for job in pending if job.folder not in done]


def is_trained(run_folder: epath.Path, dataset: Dataset) -> bool:
  """Whether the manifest of a run says it is finished.

  Raises:
    DataDietError: if it was trained on other data.
  """
  return artifacts.is_complete(run_folder, fingerprint=dataset.fingerprint)


class _WaveLoop:
  """Trains the jobs of one wave side by side, from a common step to the end."""

  def __init__(
    self,
    trainer: Trainer,
    wave: Wave,
    dataset: Dataset,
    profile_steps: tuple[int, ...],
  ):
    self._trainer = trainer
    self._profile = StepProfile(wave.jobs[0].folder, profile_steps)
    self._jobs = wave.jobs
    self._first_step = self._saved_step = wave.first_step
    self._in_flight = InFlight(trainer.run_mesh)
    self._dataset = dataset
    self._plan = trainer.plan
    # The last wave may not fill the mesh: spare slots run its first job again,
    # and that result is dropped.
    empty = trainer.run_mesh.num_slots - len(wave.jobs)
    self._slots = [*wave.jobs, *[wave.jobs[0]] * empty]

  def train(self, label: str) -> None:
    """Trains the wave, saves checkpoints, and writes the jobs' manifests."""
    names = ', '.join(job.name for job in self._jobs)
    logging.debug('Wave from step %d: %s', self._first_step, names)
    state = self._initial_state()
    saved = [
      slot for slot in mesh_lib.own_slots(state) if slot < len(self._jobs)
    ]
    for slot in saved:
      checkpoints.remove_after(self._jobs[slot].folder, self._first_step)
    self._metrics = WaveMetrics(
      {slot: self._jobs[slot] for slot in saved},
      first_step=self._first_step,
      batch_size=self._plan.train.batch_size,
      learning_rate=self._trainer.learning_rate,
      hparams=self._plan.hparams,
      extra_tests=tuple(self._dataset.extra_tests),
    )
    self._writers = {
      slot: checkpoints.CheckpointWriter(
        self._jobs[slot].folder, self._plan.keep_steps
      )
      for slot in saved
    }
    num_images = self._plan.train.batch_size * len(self._jobs)
    started = time.monotonic()
    with contextlib.ExitStack() as stack:
      # Close all, even if one fails: none may be running when the program ends.
      for writer in self._writers.values():
        stack.callback(writer.close)
      shown = stack.enter_context(
        progress(
          label,
          self._plan.num_steps * num_images,
          'images',
          initial=self._first_step * num_images,
        )
      )
      self._loop(state, shown, num_images)
      rate = shown.rate
    self._metrics.close()
    for slot in saved:
      self._finish(slot)
    seconds = time.monotonic() - started
    done = f'{label}: done in {seconds:.1f} s ({rate:.1f} images/s)'
    accuracy = self._metrics.accuracy_note()
    logging.info('%s', ', '.join(filter(None, (done, accuracy))))

  def _initial_state(self):
    if self._first_step == 0:
      return start(
        self._plan, self._trainer, self._slots, self._dataset.input_shape
      )
    template = self._trainer.state_shapes()
    restored, damaged = {}, None
    try:
      for job in self._jobs:
        restored[job.folder] = checkpoints.restore_state(
          job.folder, self._first_step, template
        )
    except checkpoints.DamagedCheckpoint as error:
      damaged = error
    except MissingArray as error:
      scores = self._plan.dynamics.scores_that_need(error.path)
      if not scores:
        raise
      raise DataDietError(
        f'{job.name} was begun without what score.names={",".join(scores)} '
        f'needs, and is at step {self._first_step}; take it out of score.names '
        'until the run is done, or use another --workdir'
      ) from error
    # All processes take the same branch, even if only one cannot read it.
    if processes.any_process(damaged is not None):
      raise damaged or checkpoints.DamagedCheckpoint(
        f'another process cannot read the checkpoints of step '
        f'{self._first_step}'
      )
    logging.info(
      'Resuming from step %d: %s',
      self._first_step,
      ', '.join(job.name for job in self._jobs),
    )
    return self._trainer.put([restored[job.folder] for job in self._slots])

  def _loop(self, state: Any, shown: Progress, num_images: int) -> None:
    plan, step = self._plan, self._first_step
    if step == 0 and 0 in plan.keep_steps:
      self._save(0, state)
    keys = self._trainer.step_keys(self._slots)
    # Compiled now, while a stop has nothing to save.
    self._trainer.warm_up_tests(state)
    stop = False
    with contextlib.ExitStack() as stack:
      feeds = stack.enter_context(
        open_feeds(self._trainer, self._slots, plan, step)
      )
      stack.enter_context(self._profile)
      if self._row_is_due(step, state):
        with stopping.unsaved_work():
          state, stop = self._handle_events(step, state)
          self._wait_for_writers()
      elif step == plan.num_steps:
        evaluation = self._trainer.evaluate(state)
        assert evaluation is not None  # Nothing cuts it off.
        self._metrics.note_classes(evaluation)
      while step < plan.num_steps and not stop:
        self._profile.before(step)
        state, count, feed = feeds.take(step, state)
        # Between log points nothing but indices goes to the device, and
        # nothing comes back.
        with jax.transfer_guard('disallow'):
          state = self._trainer.run_steps(state, feed, keys, count)
          done = jnp.copy(state.step)
        stop = self._in_flight.add(done)
        # Counted from here: other processes may have been compiling until now.
        if step == self._first_step:
          stack.enter_context(stopping.unsaved_work())
        step += count
        logging.debug('Dispatched step %d', step)
        self._profile.after(step, done)
        shown.advance(count * num_images, self._metrics.accuracy_note())
        if step == plan.next_event(step - count) and not stop:
          state, stop = self._handle_events(step, state)
      if stop:
        self._stop(step, state)
      self._metrics.flush()
      self._wait_for_writers()

  def _row_is_due(self, step: int, state: Any) -> bool:
    """Whether a run was stopped before the history had this step's row."""
    if step == 0 or not self._plan.is_log_step(step):
      return False
    counts = self._trainer.run_mesh.to_host(state.meters.count)
    return bool(counts.any())

  def _handle_events(self, step: int, state: Any) -> tuple[Any, bool]:
    """Logs, evaluates and saves what is due after a step.

    Returns:
      The state, and whether the process was asked to stop.
    """
    plan = self._plan
    if plan.is_log_step(step):
      # Values of the row before have arrived by now: no wait.
      self._metrics.flush()
      evaluation = None
      if plan.is_eval_step(step):
        logging.debug('Evaluating at step %d', step)
        evaluation = self._trainer.test(state, self._in_flight.add)
        if evaluation is None:  # The row is made after resumption.
          return state, True
      state, meters = self._trainer.take_meters(state)
      self._metrics.add(step, meters, evaluation)
    if plan.is_checkpoint_step(step):
      self._save(step, state)
    return state, False

  def _stop(self, step: int, state: Any) -> None:
    if step != self._saved_step:
      self._save(step, state)
    self._wait_for_writers()
    raise Preempted

  def _wait_for_writers(self) -> None:
    for writer in self._writers.values():
      writer.wait()

  def _save(self, step: int, state: Any) -> None:
    self._saved_step = step
    self._metrics.flush()
    self._metrics.check_finite(state.meters)
    for slot, writer in self._writers.items():
      host_state = mesh_lib.slot_to_host(state, slot)
      self._metrics.write(slot)
      if step in self._plan.keep_steps or step == self._plan.num_steps:
        self._write_dynamics(slot, step, host_state.dynamics)
      writer.save(step, host_state)

  def _write_dynamics(self, slot: int, step: int, dynamics: Any) -> None:
    job = self._jobs[slot]
    path = artifacts.dynamics_file(job.folder, step)
    window = self._plan.dynamics.window
    arrays = stored_arrays(dynamics, window, job.example_index)
    artifacts.write_npz(path, arrays)

  def _finish(self, slot: int) -> None:
    job, latest = self._jobs[slot], self._metrics.latest(slot)
    artifacts.write_manifest(
      job.folder,
      {
        'kind': 'training run',
        'fingerprint': self._dataset.fingerprint,
        'labels_fingerprint': self._dataset.labels_fingerprint,
        'run': job.run,
        'selection': job.described,
        'num_examples': job.num_kept,
        'epoch_options': job.epochs.options,
        'num_steps': self._plan.num_steps,
        'settings': self._plan.statement(),
        'keep_steps': [
          step
          for step in checkpoints.variable_steps(job.folder)
          if step in (*self._plan.keep_steps, self._plan.num_steps)
        ],
        'test_accuracy': latest.get('test_accuracy'),
        'test_loss': latest.get('test_loss'),
        'class_accuracy': self._metrics.class_accuracy(slot),
        **self._metrics.extra_accuracies(slot),
      },
    )
