"""Checkpoints by Orbax: one folder a run and step, whatever the mesh was.

`<run>/checkpoints/<step>/variables` holds params and batch_stats,
`<step>/rest` what training needs beside them (opt_state, dynamics, meters).
Both are committed by one rename; on an object store each is an archive, see
`checkpoint_archives`. A step that is only kept to be scored loses
its `rest`; others are deleted when two newer full states exist.

Since a run's state is whole on every process that trains it, each run is saved
by one process from host memory: the layout knows no devices, and a run can be
resumed on any number of them.
"""

import zlib
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import flax.serialization
import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from flax import traverse_util

from datadiet.errors import DataDietError
from datadiet.workdir import checkpoint_archives, storage
from datadiet.workdir.own_arrays import arrays_handler

VARIABLES = 'variables'
_REST = 'rest'
_ITEMS = (VARIABLES, _REST)
_MANIFEST = 'manifest'
_NUM_FULL_STATES = 2


def _flatten(tree: Any) -> dict[str, np.ndarray]:
  """A pytree as {'path/to/leaf': array}; fields that are None are left out."""
  state_dict = flax.serialization.to_state_dict(tree)
  flat = traverse_util.flatten_dict(state_dict, sep='/')
  return {
    path: np.asarray(leaf) for path, leaf in flat.items() if leaf is not None
  }


def _unflatten(flat: dict[str, np.ndarray], template: Any, source: Any) -> Any:
  """The inverse of `_flatten`, checked against a template's shapes."""
  state_dict = flax.serialization.to_state_dict(template)
  expected = traverse_util.flatten_dict(
    state_dict, sep='/', keep_empty_nodes=True
  )
  filled = {}
  for path, leaf in expected.items():
    if leaf is traverse_util.empty_node or leaf is None:
      filled[path] = leaf
      continue
    if path not in flat:
      raise DataDietError(
        f'{source} has no {path}: it is of another model, or score.names now '
        'has scores for which more has to be recorded; use another --workdir'
      )
    if flat[path].shape != leaf.shape:
      raise DataDietError(
        f'{source} has {path} of shape {flat[path].shape}, the model needs '
        f'{leaf.shape}'
      )
    filled[path] = flat[path]
  nested = traverse_util.unflatten_dict(filled, sep='/')
  return flax.serialization.from_state_dict(template, nested)


def _checksum(flat: dict[str, np.ndarray]) -> int:
  value = 0
  for path in sorted(flat):
    value = zlib.crc32(path.encode(), value)
    value = zlib.crc32(np.ascontiguousarray(flat[path]), value)
  return value


def _checkpointer() -> ocp.AsyncCheckpointer:
  # Each process writes runs of its own: no process waits for another here.
  process = jax.process_index()
  options = ocp.options.MultiprocessingOptions(
    primary_host=process,
    active_processes={process},
    barrier_sync_key_prefix=f'process_{process}',
  )
  # Made in the background, one process's signal that a folder is there would
  # be taken for another's.
  at_once = ocp.options.AsyncOptions(create_directories_asynchronously=False)
  return ocp.AsyncCheckpointer(
    ocp.CompositeCheckpointHandler(
      variables=arrays_handler(options),
      rest=arrays_handler(options),
      manifest=ocp.JsonCheckpointHandler(multiprocessing_options=options),
      composite_options=ocp.CompositeOptions(
        multiprocessing_options=options, async_options=at_once
      ),
    ),
    async_options=at_once,
    multiprocessing_options=options,
  )


class CheckpointWriter:
  """Saves the states of one run, in the background."""

  def __init__(self, run_folder: epath.PathLike, keep_steps: Iterable[int]):
    """A writer for the run in `run_folder`.

    Args:
      run_folder: the run's folder.
      keep_steps: steps whose variables are kept for good, to be scored.
    """
    self._folder = folder_of(run_folder)
    self._keep_steps = frozenset(keep_steps)
    self._checkpointer = _checkpointer()
    self._background = ThreadPoolExecutor(1, 'checkpoints')
    self._saving: Future | None = None
    _clear_half_written(self._folder)

  def save(self, step: int, state: Any) -> None:
    """Starts saving a state of host arrays; waits only for the save before.

    Args:
      step: the optimizer step.
      state: a TrainState of numpy arrays, which must not change any more.

    Raises:
      DataDietError: if the save before could not be written.
    """
    self.wait()
    self._saving = self._background.submit(self._save, step, state)

  def _save(self, step: int, state: Any) -> None:
    """Writes and commits a state; checksums alone take a while."""
    flat = _flatten(state)
    variables = {k: v for k, v in flat.items() if _is_variable(k)}
    rest = {k: v for k, v in flat.items() if not _is_variable(k)}
    manifest = {VARIABLES: _checksum(variables), _REST: _checksum(rest)}
    target = self._folder / str(step)
    if target.exists():  # Left by an attempt that was set back.
      checkpoint_archives.remove(target, _ITEMS)
    content = ocp.args.Composite(
      variables=ocp.args.PyTreeSave(variables),
      rest=ocp.args.PyTreeSave(rest),
      manifest=ocp.args.JsonSave(manifest),
    )
    # Orbax knows some object stores; to them all its files are uploaded here.
    if storage.is_remote(target):
      checkpoint_archives.save(self._checkpointer, target, _ITEMS, content)
    else:
      self._checkpointer.save(target, args=content)
      self._checkpointer.wait_until_finished()

  def wait(self) -> None:
    """Returns when the last save is committed and older ones are pruned.

    Raises:
      DataDietError: if the save failed.
    """
    try:
      if self._saving is not None:
        self._saving.result()
      self._prune()
    except Exception as error:
      raise _save_error(self._folder, error) from error

  def close(self) -> None:
    """Waits and frees the writer, also where the last save fails.

    Raises:
      DataDietError: if the save failed.
    """
    try:
      self.wait()
      self._checkpointer.close()
    finally:
      self._background.shutdown()

  def _prune(self) -> None:
    for step in full_steps(self._folder.parent)[:-_NUM_FULL_STATES]:
      folder = self._folder / str(step)
      if step in self._keep_steps:
        checkpoint_archives.remove_item(folder, _REST)
      else:
        checkpoint_archives.remove(folder, _ITEMS)


def _save_error(folder: epath.Path, error: Exception) -> DataDietError:
  reason = str(error).strip().splitlines() or [type(error).__name__]
  return DataDietError(
    f'a checkpoint could not be written to {folder}: {reason[0][:300]}; '
    'earlier checkpoints are untouched'
  )


def _clear_half_written(folder: epath.Path) -> None:
  """Removes what a killed process had not committed: it fills the disk."""
  if folder.is_dir():
    for path in folder.iterdir():
      if '.orbax-checkpoint-tmp' in path.name:
        path.rmtree()


def _is_variable(path: str) -> bool:
  return path.startswith(('params/', 'batch_stats/'))


def folder_of(run_folder: epath.PathLike) -> epath.Path:
  """Where a run's checkpoints lie."""
  folder = epath.Path(run_folder)
  if not storage.is_remote(folder):
    folder = folder.resolve()  # Orbax takes no others.
  return folder / 'checkpoints'


def _committed_steps(run_folder: epath.PathLike, item: str) -> list[int]:
  folder = folder_of(run_folder)
  if not folder.is_dir():
    return []
  return sorted(
    int(path.name)
    for path in folder.iterdir()
    if path.name.isdigit() and checkpoint_archives.path_of(path, item).exists()
  )


def full_steps(run_folder: epath.PathLike) -> list[int]:
  """Steps from which the run can go on, ascending."""
  return _committed_steps(run_folder, _REST)


def variable_steps(run_folder: epath.PathLike) -> list[int]:
  """Steps whose network can be loaded, ascending."""
  return _committed_steps(run_folder, VARIABLES)


def remove_after(run_folder: epath.PathLike, step: int) -> None:
  """Removes states of later steps, for a run that is set back to a step.

  Kept, they would be the newest again after another sudden end, beside a
  history that has been written anew since.
  """
  for later in full_steps(run_folder):
    if later > step:
      checkpoint_archives.remove(folder_of(run_folder) / str(later), _ITEMS)


def restore_state(run_folder: epath.PathLike, step: int, template: Any) -> Any:
  """The state of exactly the step asked for, as numpy arrays.

  Args:
    run_folder: the run's folder.
    step: one of `full_steps`.
    template: a TrainState with the wanted structure and shapes.

  Raises:
    DataDietError: if the checkpoint is missing, damaged or of another model.
  """
  flat = _restore_item(run_folder, step, VARIABLES)
  flat |= _restore_item(run_folder, step, _REST)
  return _unflatten(flat, template, folder_of(run_folder) / str(step))


def load_variables(run_folder: epath.PathLike, step: int) -> dict[str, Any]:
  """The network of exactly the step asked for.

  Args:
    run_folder: the run's folder.
    step: one of `variable_steps`.

  Returns:
    {'params': ..., 'batch_stats': ...} of numpy arrays.

  Raises:
    DataDietError: if the checkpoint is missing or damaged.
  """
  flat = _restore_item(run_folder, step, VARIABLES)
  nested = traverse_util.unflatten_dict(flat, sep='/')
  return {
    'params': nested['params'],
    'batch_stats': nested.get('batch_stats', {}),
  }


def _restore_item(
  run_folder: epath.PathLike, step: int, item: str
) -> dict[str, np.ndarray]:
  folder = folder_of(run_folder) / str(step)
  if not checkpoint_archives.path_of(folder, item).exists():
    have = ', '.join(map(str, variable_steps(run_folder))) or 'none'
    raise DataDietError(
      f'{folder_of(run_folder)} has no checkpoint of step {step}; it has {have}'
    )
  with checkpoint_archives.on_disk(folder, item) as local:
    try:
      flat = _read_item(local / item)
      manifest = ocp.JsonCheckpointHandler().restore(local / _MANIFEST)
      damaged = _checksum(flat) != manifest[item]
    except Exception as error:  # Orbax and tensorstore raise many kinds.
      logging.debug('Restoring %s failed: %s', folder, error)
      damaged = True
  if damaged:
    raise DamagedCheckpoint(
      f'the checkpoint {folder} is damaged; delete the folder of that run to '
      'have it trained again'
    )
  return flat


def _read_item(path: epath.Path) -> dict[str, np.ndarray]:
  handler = ocp.PyTreeCheckpointHandler()
  structure = handler.metadata(path).tree
  restored = handler.restore(
    path,
    args=ocp.args.PyTreeRestore(
      restore_args=jax.tree.map(
        lambda _: ocp.RestoreArgs(restore_type=np.ndarray), structure
      )
    ),
  )
  return {name: np.asarray(leaf) for name, leaf in restored.items()}


def verify(run_folder: epath.PathLike, step: int) -> None:
  """Reads a full state, only to see that it is whole.

  Raises:
    DamagedCheckpoint: if it is not.
  """
  _restore_item(run_folder, step, VARIABLES)
  _restore_item(run_folder, step, _REST)


class DamagedCheckpoint(DataDietError):
  """A checkpoint that cannot be read or fails its checksum."""


def set_aside(run_folder: epath.PathLike, step: int) -> None:
  """Renames a damaged checkpoint, so that the one before is used."""
  folder = folder_of(run_folder) / str(step)
  target = folder.parent / f'{step}.damaged'
  if target.exists():
    target.rmtree()
  storage.move(folder, target)
  logging.warning('%s is damaged; it was put aside as %s', folder, target.name)
