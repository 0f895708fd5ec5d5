"""Starts runs from the network of a checkpoint instead of a new one."""

import re
from typing import Any

import jax
import numpy as np
from etils import epath

from datadiet.errors import DataDietError
from datadiet.training.trainer import Trainer
from datadiet.workdir import checkpoints


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
  folder = epath.Path(path).expanduser()
  is_step = re.fullmatch(r'\d+', folder.name)
  if not is_step or folder.parent.name != 'checkpoints':
    raise DataDietError(
      f'config.train.init_from: {path!r} is no checkpoint; allowed: a folder '
      'such as DIR/train/run_00/checkpoints/390'
    )
  variables = checkpoints.load_variables(folder.parent.parent, int(folder.name))
  run_mesh = trainer.run_mesh

  def stacked(template, leaf):
    whole = np.broadcast_to(leaf, (run_mesh.num_slots, *np.shape(leaf)))
    if whole.shape != template.shape or whole.dtype != template.dtype:
      raise ValueError
    return run_mesh.put(np.ascontiguousarray(whole), run_mesh.by_run)

  old = {'params': state.params, 'batch_stats': state.batch_stats}
  try:
    new = jax.tree.map(stacked, old, variables)
  except ValueError as error:
    raise DataDietError(
      f'config.train.init_from: {path} holds another network than '
      'config.model says'
    ) from error
  return state.replace(**new)
