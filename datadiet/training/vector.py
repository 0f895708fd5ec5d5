"""All parameters in one vector, which is updated by one kernel on a GPU."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from datadiet.training.optimizer import ELEMENTWISE
from datadiet.training.plan import TrainingPlan
from datadiet.training.state import TrainState
from datadiet.training.trainable import ALL


class ParamVector:
  """Lays the parameters of a network out in one vector, and back.

  An optimizer that treats every number alike gives the same numbers for the
  vector. For GPUs, on which each leaf would take a kernel of its own; TPUs and
  CPUs would have to lay the numbers out anew.
  """

  def __init__(self, params: Any):
    """Learns the shapes; `params` are arrays or shapes of one type."""
    leaves, structure = jax.tree.flatten(params)
    self._structure: Any = structure
    self._shapes = [leaf.shape for leaf in leaves]
    assert len({leaf.dtype for leaf in leaves}) == 1

  def pack(self, params: Any) -> jax.Array:
    """The vector of a tree, such as parameters or their gradients."""
    # Kernels of convolutions as cuDNN has them, the outputs first.
    rows = [
      (jnp.moveaxis(leaf, -1, 0) if leaf.ndim > 2 else leaf).reshape(-1)
      for leaf in jax.tree.leaves(params)
    ]
    return jnp.concatenate(rows)

  def unpack(self, vector: jax.Array) -> Any:
    """The tree of a vector."""
    leaves, start = [], 0
    for shape in self._shapes:
      leaf = vector[start : start + math.prod(shape)]
      start += leaf.size
      if len(shape) > 2:
        leaf = jnp.moveaxis(leaf.reshape(shape[-1], *shape[:-1]), 0, -1)
      leaves.append(leaf.reshape(shape))
    return jax.tree.unflatten(self._structure, leaves)

  def pack_state(self, state: TrainState) -> TrainState:
    """A state with vectors in place of parameters and the like."""

    def is_tree(node):
      return jax.tree.structure(node) == self._structure

    opt_state = jax.tree.map(
      lambda node: self.pack(node) if is_tree(node) else node,
      state.opt_state,
      is_leaf=is_tree,
    )
    params = self.pack(state.params)
    return dataclasses.replace(state, params=params, opt_state=opt_state)

  def unpack_state(self, state: TrainState) -> TrainState:
    """The state of `pack_state`, as it was."""
    size = state.params.shape
    opt_state = jax.tree.map(
      lambda leaf: self.unpack(leaf) if leaf.shape == size else leaf,
      state.opt_state,
    )
    params = self.unpack(state.params)
    return dataclasses.replace(state, params=params, opt_state=opt_state)


def usual_vector(params: Any, plan: TrainingPlan) -> ParamVector | None:
  """How parameters lie while a call trains; None as in the state.

  Args:
    params: of one run, arrays or shapes.
    plan: what to train, with the platform that trains.
  """
  if (
    plan.platform != 'gpu'
    or plan.optimizer.name not in ELEMENTWISE
    or plan.train.trainable != ALL
    or len({leaf.dtype for leaf in jax.tree.leaves(params)}) > 1
  ):
    return None
  return ParamVector(params)
