"""Evaluation on a whole split, for all slots at once."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from datadiet.feeding.placement import Placement
from datadiet.runtime.mesh import RunMesh, pad_to_multiple
from datadiet.training.steps import make_eval_step


class Evaluator:
  """Measures networks on a split."""

  def __init__(
    self,
    placement: Placement,
    num_examples: int,
    run_mesh: RunMesh,
    *,
    model: Any,
    num_classes: int,
    mean: np.ndarray,
    std: np.ndarray,
    batch_size: int,
  ):
    """Compiles at the first call.

    Args:
      placement: of the split to evaluate on, whole.
      num_examples: in it.
      run_mesh: the mesh of the states.
      model: the network.
      num_classes: number of its logits.
      mean: float32[channels], for normalisation.
      std: float32[channels].
      batch_size: examples a batch; rounded up to the devices of a slot, and
        on CPU no more than it gains by.
    """
    self._run_mesh = run_mesh
    self._num_classes = num_classes
    self._placement = placement
    batch_size = run_mesh.forward_batch_size(batch_size)
    batch_size = min(batch_size, num_examples)
    batch_size += -batch_size % run_mesh.devices_per_slot
    example_index, _ = pad_to_multiple(np.arange(num_examples), batch_size)
    self._batches = example_index.reshape(-1, batch_size)
    eval_step = make_eval_step(
      model, mean=mean, std=std, data_axis=run_mesh.data_axis
    )
    gather = self._placement.gather

    def add_batch(sums, params, batch_stats, feed, resident):
      new = eval_step(params, batch_stats, gather(resident, feed))
      return jax.tree.map(lambda total, value: total + value, sums, new)

    self._add_batch = run_mesh.per_run(add_batch, shared=(4,), split={3: 1})

  @property
  def num_batches(self) -> int:
    """Batches of the whole split."""
    return len(self._batches)

  @property
  def batch_size(self) -> int:
    """Examples of a batch."""
    return self._batches.shape[1]

  def lower(self, state: Any) -> jax.stages.Lowered:
    """The program of one batch, for the mesh's devices, there or not.

    Args:
      state: the shapes of a stacked TrainState, on the mesh.
    """
    mesh, slots = self._run_mesh, self._run_mesh.num_slots
    batch = np.broadcast_to(self._batches[0], (slots, self.batch_size))
    return self._add_batch.lower(
      mesh.abstract(self._zeros(), mesh.by_run),
      state.params,
      state.batch_stats,
      mesh.abstract(self._placement.feed(batch), mesh.batch_sharding(1)),
      self._placement.resident,
    )

  def _zeros(self) -> dict[str, np.ndarray]:
    slots = self._run_mesh.num_slots
    return {
      'loss': np.zeros(slots, np.float32),
      'correct': np.zeros((slots, self._num_classes), np.int32),
      'count': np.zeros((slots, self._num_classes), np.int32),
    }

  def warm_up(self, state: Any) -> None:
    """Compiles, by measuring on one batch."""
    jax.block_until_ready(self._sums(state, self._batches[:1], _go_on))

  def __call__(
    self, state: Any, cut_off: Callable[[jax.Array], bool] | None = None
  ) -> dict[str, jax.Array] | None:
    """Sums over the split for each slot.

    Args:
      state: a stacked TrainState.
      cut_off: told of each batch that was dispatched, by one of its outputs;
        says whether to give up.

    Returns:
      'loss' float32[slots], 'correct' and 'count' int32[slots, num_classes];
      None if it was cut off.
    """
    return self._sums(state, self._batches, cut_off or _go_on)

  def _sums(
    self,
    state: Any,
    batches: np.ndarray,
    cut_off: Callable[[jax.Array], bool],
  ) -> dict[str, jax.Array] | None:
    slots = self._run_mesh.num_slots
    sums = self._run_mesh.put(self._zeros(), self._run_mesh.by_run)
    for batch in batches:
      feed = self._placement.feed(np.broadcast_to(batch, (slots, len(batch))))
      feed = self._run_mesh.put(feed, self._run_mesh.batch_sharding(1))
      sums = self._add_batch(
        sums, state.params, state.batch_stats, feed, self._placement.resident
      )
      if cut_off(sums['loss']):
        return None
    return sums


def _go_on(output: jax.Array) -> bool:
  del output
  return False
