"""The sharded scoring engine: every example of a split, chunk by chunk.

Each device scores its share of a chunk; no device talks to another, so the
scores do not depend on how many there are but for rounding.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import numpy as np
from jax.sharding import PartitionSpec as P

from datadiet import compilation
from datadiet.data.augmentation import normalise
from datadiet.data.dataset import Split
from datadiet.data.placement import place
from datadiet.parallel import DATA_AXIS, RunMesh, flat_mesh
from datadiet.scoring import forward, registry
from datadiet.training.steps import apply_model

# Chunks on the device before the host fetches the oldest.
_CHUNKS_IN_FLIGHT = 2


@dataclasses.dataclass
class Partial:
  """Scores up to some example, so that scoring can go on there.

  Attributes:
    num_done: examples whose values are there.
    values: name -> float32[N] (or int32[N] for 'prediction').
  """

  num_done: int
  values: dict[str, np.ndarray]


class ScoringEngine:
  """Scores a split under any number of networks of one architecture."""

  def __init__(
    self,
    split: Split,
    model: nn.Module,
    names: Sequence[str],
    *,
    mean: np.ndarray,
    std: np.ndarray,
    chunk_size: int,
    mesh: RunMesh | None = None,
    placement: str = 'auto',
  ):
    """Places the split; compiles at the first call.

    Args:
      split: what to score, whole.
      model: the network.
      names: scores of one kind of pass: 'forward' and 'data' together, or
        'gradient'.
      mean: float32[channels], for normalisation.
      std: float32[channels].
      chunk_size: examples a chunk; rounded up to the number of devices.
      mesh: all devices in one slot if None.
      placement: of the data, 'auto', 'device' or 'host'.
    """
    self._mesh = flat_mesh() if mesh is None else mesh
    self._split = split
    self.chunk_size = min(chunk_size, split.num_examples)
    self.chunk_size += -self.chunk_size % self._mesh.devices_per_slot
    self._placement = place(split, self._mesh.replicated, placement)
    self._score = self._compile(
      make_score_step(model, names, mean=mean, std=std)
    )

  def _compile(self, score_step: Callable) -> Callable:
    gather = self._placement.gather

    def score_share(variables, feed, resident):
      batch = gather(resident, feed)
      return score_step(variables, batch['image'], batch['label'])

    return compilation.jit(
      jax.shard_map(
        score_share,
        mesh=self._mesh.mesh,
        in_specs=(P(), P(DATA_AXIS), P()),
        out_specs=P(DATA_AXIS),
        check_vma=False,
      ),
      out_shardings=self._mesh.replicated,
    )

  def score(
    self,
    variables: Mapping[str, Any],
    *,
    done: Partial | None = None,
    on_chunk: Callable[[Partial], None] | None = None,
  ) -> dict[str, np.ndarray]:
    """Scores every example under one network.

    Args:
      variables: {'params': ..., 'batch_stats': ...}.
      done: what an earlier attempt has done.
      on_chunk: called after each chunk with all that is done.

    Returns:
      name -> float32[N]; with forward scores also 'prediction' int32[N].
    """
    variables = self._mesh.put(dict(variables), self._mesh.replicated)
    sharding = jax.sharding.NamedSharding(self._mesh.mesh, P(DATA_AXIS))
    done = Partial(0, {}) if done is None else done
    waiting: list[tuple[int, dict[str, jax.Array]]] = []
    num_examples = self._split.num_examples
    for start in range(done.num_done, num_examples, self.chunk_size):
      index = np.arange(start, start + self.chunk_size, dtype=np.int32)
      index[index >= num_examples] = -1
      feed = self._mesh.put(self._placement.feed(index), sharding)
      scores = self._score(variables, feed, self._placement.resident)
      waiting.append((start, scores))
      if len(waiting) > _CHUNKS_IN_FLIGHT:
        self._take(waiting.pop(0), done, on_chunk)
    while waiting:
      self._take(waiting.pop(0), done, on_chunk)
    return done.values

  def _take(self, chunk, done: Partial, on_chunk) -> None:
    start, scores = chunk
    stop = min(start + self.chunk_size, self._split.num_examples)
    for name, values in jax.device_get(scores).items():
      if name not in done.values:
        done.values[name] = np.zeros(self._split.num_examples, values.dtype)
      done.values[name][start:stop] = values[: stop - start]
    done.num_done = stop
    if on_chunk is not None:
      on_chunk(done)


def make_score_step(
  model: nn.Module,
  names: Sequence[str],
  *,
  mean: np.ndarray,
  std: np.ndarray,
) -> Callable:
  """One pass for all the scores of a kind.

  Args:
    model: the network.
    names: scores; all 'forward' and 'data', or all 'gradient'.
    mean: float32[channels], for normalisation.
    std: float32[channels].

  Returns:
    (variables, images uint8[batch, ...], labels int32[batch]) ->
    name -> [batch].
  """
  specs = {name: registry.SCORES[name] for name in names}
  gradient = {
    name: spec.function(model)
    for name, spec in specs.items()
    if spec.kind == registry.GRADIENT
  }

  def score_step(variables, images, labels):
    images = normalise(images, mean, std)
    params, batch_stats = variables['params'], variables['batch_stats']
    scores = {
      name: norms(params, batch_stats, images, labels)
      for name, norms in gradient.items()
    }
    for name, spec in specs.items():
      if spec.kind == registry.DATA:
        scores[name] = spec.function(images)
    if len(scores) < len(specs):
      logits, _ = apply_model(model, params, batch_stats, images, train=False)
      outputs = forward.make_outputs(logits, labels)
      scores |= {
        name: spec.function(outputs)
        for name, spec in specs.items()
        if spec.kind == registry.FORWARD
      }
      scores['prediction'] = logits.argmax(-1).astype('int32')
    return scores

  return score_step


def pass_groups(names: Sequence[str]) -> list[tuple[str, ...]]:
  """Splits scores into those that share a pass; empty groups left out."""
  groups = [
    registry.of_kind(names, registry.FORWARD, registry.DATA),
    registry.of_kind(names, registry.GRADIENT),
  ]
  return [group for group in groups if group]
