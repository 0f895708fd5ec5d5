"""Loss and accuracy on a whole split, for the networks of all slots at once."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from datadiet.feeding.placement import Placement
from datadiet.runtime.mesh import RunMesh, pad_to_multiple
from datadiet.training.steps import make_eval_step


class Evaluator:
  """Computes the loss and the accuracy by class of networks on a split."""

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
    """Splits the examples into batches; compilation waits for the first call.

    Args:
      placement: the split to evaluate on, on the devices.
      num_examples: number of examples in it.
      run_mesh: the mesh of the states.
      model: the network.
      num_classes: number of its logits.
      mean: float32[channels], for normalisation.
      std: float32[channels].
      batch_size: examples a batch; rounded up to a multiple of the devices of a
        slot, and limited by `RunMesh.forward_batch_size`.
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
    """The number of batches in the split."""
    return len(self._batches)

  @property
  def batch_size(self) -> int:
    """The number of examples in a batch."""
    return self._batches.shape[1]

  def lower(self, state: Any) -> jax.stages.Lowered:
    """Lowers the program of one batch for devices that need not exist.

    Args:
      state: shapes of a stacked TrainState, of `Trainer.abstract_state`.
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
    """Compiles, by evaluating one batch."""
    jax.block_until_ready(self._sums(state, self._batches[:1], _go_on))

  def __call__(
    self, state: Any, cut_off: Callable[[jax.Array], bool] | None = None
  ) -> dict[str, jax.Array] | None:
    """Evaluates the network of each slot on the whole split.

    Args:
      state: a stacked TrainState.
      cut_off: called with an output of each batch that was dispatched; returns
        whether to abandon the evaluation.

    Returns:
      Sums over the split: 'loss' float32[slots], 'correct' and 'count'
      int32[slots, num_classes]; None if it was abandoned.
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
