"""Starts runs from a trained network instead of a new one."""

import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from etils import epath
from flax import traverse_util

from datadiet.errors import DataDietError
from datadiet.models.settings import ModelSettings, make_network
from datadiet.models.weights import load_weights
from datadiet.training.jobs import Job
from datadiet.training.plan import TrainingPlan
from datadiet.training.trainer import Trainer
from datadiet.workdir import checkpoints


def start(
  plan: TrainingPlan,
  trainer: Trainer,
  jobs: Sequence[Job],
  image_shape: tuple[int, ...],
) -> Any:
  """The stacked states of jobs before their first step.

  Args:
    plan: says whether they start from a trained network.
    trainer: which places them on the mesh.
    jobs: one for each slot.
    image_shape: (height, width, channels).

  Raises:
    DataDietError: as `start_from` and `load_weights` do.
  """
  state = trainer.init(jobs)
  if plan.train.init_from:
    return start_from(plan.train.init_from, state, trainer)
  if plan.model.weights:
    return start_from_weights(plan.model, state, trainer, image_shape)
  return state


def read_checkpoint(path: str, shapes: Any) -> Any:
  """The variables of a checkpoint that runs start from.

  Args:
    path: a checkpoint's folder, `<run folder>/checkpoints/<step>`.
    shapes: of {'params': ..., 'batch_stats': ...} of the network.

  Raises:
    DataDietError: if there is no checkpoint, or it is of another network.
  """
  folder = epath.Path(path).expanduser()
  is_step = re.fullmatch(r'\d+', folder.name)
  if not is_step or folder.parent.name != 'checkpoints':
    raise DataDietError(
      f'config.train.init_from: {path!r} is no checkpoint; allowed: a folder '
      'such as DIR/train/run_00/checkpoints/390'
    )
  variables = checkpoints.load_variables(folder.parent.parent, int(folder.name))

  def check(wanted, leaf):
    if wanted.shape != np.shape(leaf) or wanted.dtype != leaf.dtype:
      raise ValueError

  try:
    jax.tree.map(check, shapes, variables)
  except ValueError as error:
    raise DataDietError(
      f'config.train.init_from: {path} holds another network than '
      'config.model says'
    ) from error
  return variables


def _shapes_of_one(state: Any) -> dict[str, Any]:
  """Shapes of one run's params and batch_stats in stacked states."""
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype),
    _variables(state),
  )


def _variables(state: Any) -> dict[str, Any]:
  return {'params': state.params, 'batch_stats': state.batch_stats}


def start_from(path: str, state: Any, trainer: Trainer) -> Any:
  """Replaces params and batch_stats in stacked states by a checkpoint's.

  Steps, optimizer and dynamics stay those of a new run.

  Args:
    path: a checkpoint's folder, `<run folder>/checkpoints/<step>`.
    state: of `Trainer.init`.
    trainer: the trainer of these states.

  Raises:
    DataDietError: if there is no checkpoint, or it is of another network.
  """
  shapes = _shapes_of_one(state)
  variables = read_checkpoint(path, shapes)
  new = jax.tree.map(lambda leaf: _stacked(leaf, trainer), variables)
  return state.replace(**new)


def start_from_weights(
  settings: ModelSettings,
  state: Any,
  trainer: Trainer,
  image_shape: tuple[int, ...],
) -> Any:
  """Replaces params and batch_stats in stacked states by those of a file.

  The last layer stays a new one where classes differ.

  Args:
    settings: `config.model`, with weights.
    state: of `Trainer.init`.
    trainer: which places the network on the mesh.
    image_shape: (height, width, channels).

  Raises:
    DataDietError: as `load_weights` does.
  """
  shapes = _shapes_of_one(state)
  # Nothing of it counts here but how others name its layers.
  model = make_network(settings, num_classes=1)
  pretrained = load_weights(settings.weights, model, shapes, image_shape)
  flat = traverse_util.flatten_dict(_variables(state), sep='/')
  for name, array in pretrained.arrays.items():
    flat[name] = _stacked(array, trainer)
  new = traverse_util.unflatten_dict(flat, sep='/')
  return state.replace(
    params=new['params'], batch_stats=new.get('batch_stats', {})
  )


def _stacked(leaf: np.ndarray, trainer: Trainer) -> jax.Array:
  """The same array in all slots."""
  run_mesh = trainer.run_mesh
  whole = np.broadcast_to(leaf, (run_mesh.num_slots, *np.shape(leaf)))
  return run_mesh.put(np.ascontiguousarray(whole), run_mesh.by_run)
