"""A profile of chosen steps, for TensorBoard or Perfetto."""

import os
import pathlib
import tempfile
from typing import Any

import jax
from absl import logging
from etils import epath

from datadiet.workdir import storage

FOLDER = 'profile'


class StepProfile:
  """Records what host and devices do while some steps are trained.

  Files of the profiler's own layout come below `FOLDER`:
  `tensorboard --logdir RUN_FOLDER` shows them, and https://ui.perfetto.dev
  opens `plugins/profile/<time>/<host>.trace.json.gz`.
  """

  def __init__(self, run_folder: epath.Path, steps: tuple[int, ...]):
    """Starts nothing yet.

    Args:
      run_folder: the run's folder; may be remote.
      steps: (first, last): records the steps after `first`, up to and with
        `last`; () for no profile.
    """
    self._folder = run_folder / FOLDER
    self._steps = steps
    self._scratch: tempfile.TemporaryDirectory | None = None
    self._is_on = False

  def __enter__(self) -> 'StepProfile':
    return self

  def __exit__(self, *error: Any) -> None:
    if self._is_on:
      self._stop()

  def before(self, step: int) -> None:
    """Starts the profile if it is due, before the step that follows `step`."""
    if not self._steps or self._is_on:
      return
    first, last = self._steps
    if not first <= step < last:
      return
    folder = os.fspath(self._folder)
    if storage.is_remote(folder):
      self._scratch = tempfile.TemporaryDirectory()
      folder = self._scratch.name
    jax.profiler.start_trace(folder)
    self._is_on = True

  def after(self, step: int, done: jax.Array) -> None:
    """Ends the profile if it is due, after waiting for the devices.

    Args:
      step: number of steps dispatched.
      done: an output that is ready when these steps are done.
    """
    if self._is_on and step >= self._steps[1]:
      jax.block_until_ready(done)
      self._stop()

  def _stop(self) -> None:
    self._is_on = False
    jax.profiler.stop_trace()
    if self._scratch is not None:
      root = pathlib.Path(self._scratch.name)
      for path in root.rglob('*'):
        if path.is_file():
          storage.upload(path, self._folder / path.relative_to(root))
      self._scratch.cleanup()
    logging.info('Profile of steps %d to %d: %s', *self._steps, self._folder)
