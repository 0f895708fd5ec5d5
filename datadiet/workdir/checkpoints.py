"""Checkpoints: one folder a run and step, the same on disks and in buckets.

`<run>/checkpoints/<step>/variables.safetensors` holds params and batch_stats,
`rest.safetensors` all else that training needs to resume (opt_state, dynamics,
meters), each array under its path such as `params/Dense_0/kernel`. The step's
`manifest.json` is written last and lists the files with their hashes: it alone
says what there is. A step without one was cut off and does not count; a file
that it lists and that is missing or has another hash is damage.

A step that is only kept to be scored loses its `rest`; others are deleted when
two newer full states exist. Since a run's state is whole on every process that
trains it, each run is saved by one process from host memory: the layout knows
no devices, and a run can be resumed on any number of them.
"""

import hashlib
import json
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from absl import logging
from etils import epath
from flax import traverse_util

from datadiet.errors import DataDietError
from datadiet.workdir import arrays, artifacts, atomic, storage

VARIABLES = 'variables.safetensors'
REST = 'rest.safetensors'
_NUM_FULL_STATES = 2
# The files that an unreadable manifest may have listed.
_UNREADABLE: dict[str, Any] = {VARIABLES: None, REST: None}


class DamagedCheckpoint(DataDietError):
  """A checkpoint with a file that is missing or not what was written."""


class CheckpointWriter:
  """Saves the states of one run, in the background."""

  def __init__(self, run_folder: epath.PathLike, keep_steps: Iterable[int]):
    """A writer for the run in `run_folder`.

    Args:
      run_folder: the run's folder.
      keep_steps: steps whose variables are never deleted, to be scored.
    """
    self._folder = folder_of(run_folder)
    self._keep_steps = frozenset(keep_steps)
    self._background = ThreadPoolExecutor(1, 'checkpoints')
    self._saving: Future | None = None
    _clear_half_written(self._folder)

  def save(self, step: int, state: Any) -> None:
    """Starts saving a state of host arrays; waits only for the previous save.

    Args:
      step: the optimizer step.
      state: a TrainState of numpy arrays, which must not change any more.

    Raises:
      DataDietError: if the save before could not be written.
    """
    self.wait()
    self._saving = self._background.submit(self._save, step, state)

  def _save(self, step: int, state: Any) -> None:
    flat = arrays.flatten(state)
    variables = {k: v for k, v in flat.items() if _is_variable(k)}
    rest = {k: v for k, v in flat.items() if not _is_variable(k)}
    with atomic.atomic_folder(self._folder / str(step)) as folder:
      files = {}
      for name, part in ((VARIABLES, variables), (REST, rest)):
        content = arrays.pack(part)
        atomic.write_file(folder / name, content)
        files[name] = {
          'num_bytes': len(content),
          'sha256': hashlib.sha256(content).hexdigest(),
        }
      _write_manifest(folder, files)

  def wait(self) -> None:
    """Returns when the last save is committed and older ones are pruned.

    Raises:
      DataDietError: if the save failed.
    """
    if self._saving is None:
      return
    try:
      self._saving.result()
      self._prune()
    except Exception as error:
      raise _save_error(self._folder, error) from error
    self._saving = None

  def close(self) -> None:
    """Waits and frees the writer, also where the last save fails.

    Raises:
      DataDietError: if the save failed.
    """
    try:
      self.wait()
    finally:
      self._background.shutdown()

  def _prune(self) -> None:
    for step in full_steps(self._folder.parent)[:-_NUM_FULL_STATES]:
      folder = self._folder / str(step)
      if step not in self._keep_steps:
        _remove(folder)
      elif (files := _listed(folder)) and files is not _UNREADABLE:
        _write_manifest(folder, {VARIABLES: files[VARIABLES]})
        storage.remove(folder / REST)


def _write_manifest(folder: epath.Path, files: dict[str, Any]) -> None:
  artifacts.write_manifest(folder, {'kind': 'checkpoint', 'files': files})


def _save_error(folder: epath.Path, error: Exception) -> DataDietError:
  reason = str(error).strip().splitlines() or [type(error).__name__]
  return DataDietError(
    f'a checkpoint could not be written to {folder}: {reason[0][:300]}; '
    'earlier checkpoints are untouched'
  )


def _clear_half_written(folder: epath.Path) -> None:
  """Removes large files that no manifest lists, left by killed processes."""
  atomic.clear_half_written(folder)
  for step_folder in _step_folders(folder):
    files = _listed(step_folder)
    if files is None:
      logging.warning(
        '%s has no %s: it was cut off and is removed',
        step_folder,
        artifacts.MANIFEST,
      )
      storage.remove_folder(step_folder)
    elif REST not in files:
      storage.remove(step_folder / REST)


def _remove(folder: epath.Path) -> None:
  """Removes a checkpoint, its manifest first, so that no partial one counts."""
  storage.remove(folder / artifacts.MANIFEST)
  storage.remove_folder(folder)


def folder_of(run_folder: epath.PathLike) -> epath.Path:
  """The folder of a run's checkpoints."""
  return epath.Path(run_folder) / 'checkpoints'


def _step_folders(folder: epath.Path) -> list[epath.Path]:
  if not folder.is_dir():
    return []
  found = [path for path in folder.iterdir() if path.name.isdigit()]
  return sorted(found, key=lambda path: int(path.name))


def _listed(folder: epath.Path) -> dict[str, Any] | None:
  """The files that a checkpoint's manifest lists; None without a manifest.

  Raises:
    DataDietError: if another version of datadiet wrote the checkpoint.
  """
  try:
    content = storage.read_bytes(folder / artifacts.MANIFEST)
  except FileNotFoundError:
    if (folder / 'manifest' / 'metadata').exists():
      raise DataDietError(
        f'{folder} was written by Orbax, with an earlier version of datadiet; '
        'use that version or another --workdir'
      ) from None
    return None
  try:
    files = json.loads(content)['files']
    return {name: files[name] for name in (VARIABLES, REST) if name in files}
  except (ValueError, KeyError, TypeError):
    return _UNREADABLE


def _committed_steps(run_folder: epath.PathLike, name: str) -> list[int]:
  return [
    int(folder.name)
    for folder in _step_folders(folder_of(run_folder))
    if name in (_listed(folder) or ())
  ]


def full_steps(run_folder: epath.PathLike) -> list[int]:
  """Steps from which the run can be resumed, ascending."""
  return _committed_steps(run_folder, REST)


def variable_steps(run_folder: epath.PathLike) -> list[int]:
  """Steps whose network can be loaded, ascending."""
  return _committed_steps(run_folder, VARIABLES)


def remove_after(run_folder: epath.PathLike, step: int) -> None:
  """Removes states of later steps, for a run that is set back to a step.

  If kept, they would be the newest again after another crash, and disagree with
  the history rewritten since.
  """
  for later in full_steps(run_folder):
    if later > step:
      _remove(folder_of(run_folder) / str(later))


def restore_state(run_folder: epath.PathLike, step: int, template: Any) -> Any:
  """Reads the state of exactly the given step, as numpy arrays.

  Args:
    run_folder: the run's folder.
    step: one of `full_steps`.
    template: a TrainState with the wanted structure and shapes.

  Raises:
    DataDietError: if the checkpoint is missing, damaged or of another model.
  """
  flat = verify(run_folder, step)
  return arrays.unflatten(flat, template, folder_of(run_folder) / str(step))


def load_variables(run_folder: epath.PathLike, step: int) -> dict[str, Any]:
  """Reads the network of exactly the given step.

  Args:
    run_folder: the run's folder.
    step: one of `variable_steps`.

  Returns:
    {'params': ..., 'batch_stats': ...} of numpy arrays.

  Raises:
    DataDietError: if the checkpoint is missing or damaged.
  """
  flat = _read(run_folder, step, VARIABLES)
  nested = traverse_util.unflatten_dict(flat, sep='/')
  return {
    'params': nested['params'],
    'batch_stats': nested.get('batch_stats', {}),
  }


def verify(run_folder: epath.PathLike, step: int) -> dict[str, np.ndarray]:
  """Reads a full state and checks the hashes in its manifest.

  Returns:
    {'params/Dense_0/kernel': array, ...}.

  Raises:
    DataDietError: if there is none.
    DamagedCheckpoint: if a file is missing or not what was written.
  """
  variables = _read(run_folder, step, VARIABLES)
  return variables | _read(run_folder, step, REST)


def set_aside(run_folder: epath.PathLike, step: int) -> None:
  """Renames a damaged checkpoint, so that an earlier one is used."""
  folder = folder_of(run_folder) / str(step)
  target = folder.parent / f'{step}.damaged'
  storage.remove_folder(target)
  storage.move(folder, target)
  logging.warning('%s is damaged; it was put aside as %s', folder, target.name)


def _read(
  run_folder: epath.PathLike, step: int, name: str
) -> dict[str, np.ndarray]:
  """The arrays of one file of a checkpoint, once its hash is checked."""
  folder = folder_of(run_folder) / str(step)
  path, damage = folder / name, ''
  files = _listed(folder)
  if files is None and folder.is_dir():
    path, damage = folder / artifacts.MANIFEST, 'is missing'
  elif files is _UNREADABLE:
    path, damage = folder / artifacts.MANIFEST, 'is damaged'
  elif files is None or name not in files:
    have = ', '.join(map(str, variable_steps(run_folder))) or 'none'
    raise DataDietError(
      f'{folder.parent} has no checkpoint of step {step}; it has {have}'
    )
  else:
    try:
      content = storage.read_bytes(path)
      if hashlib.sha256(content).hexdigest() == files[name]['sha256']:
        return arrays.unpack(content)
      damage = 'is damaged (its content is not what was written)'
    except FileNotFoundError:
      damage = 'is missing'
    except OSError as error:
      if storage.is_remote(path):
        raise  # The error says nothing about the object's content.
      damage = f'cannot be read ({error.strerror})'
  raise DamagedCheckpoint(
    f'{path} {damage}; delete the folder of that run, {run_folder}, to have it '
    'trained again'
  )


def _is_variable(path: str) -> bool:
  return path.startswith(('params/', 'batch_stats/'))
