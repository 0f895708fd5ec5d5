"""The sharded scoring engine: every example of a split, chunk by chunk.

Each device scores its share of a chunk; no device talks to another, so the
scores do not depend on how many there are but for rounding.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from datadiet.data.dataset import Split
from datadiet.feeding.placement import Placements
from datadiet.runtime.mesh import DATA_AXIS, RunMesh, flat_mesh
from datadiet.scoring.gradient import (
  UNCLOG,
  balanced_sample,
  make_direction,
)
from datadiet.scoring.passes import make_score_step
from datadiet.scoring.precision import AUTO, PRECISIONS, usual_precision
from datadiet.scoring.settings import GradientSettings


@dataclasses.dataclass
class Partial:
  """Scores of the first examples, from which scoring can resume.

  Attributes:
    num_done: the number of examples with values.
    values: name -> [N] or [N, ...].
    chunk_size: examples a chunk, where it was noted; else 0.
  """

  num_done: int
  values: dict[str, np.ndarray]
  chunk_size: int = 0


class ScoringEngine:
  """Scores a split under any number of networks of one architecture."""

  def __init__(
    self,
    split: Split,
    model: nn.Module,
    names: Sequence[str],
    *,
    mean: np.ndarray | None,
    std: np.ndarray | None,
    chunk_size: int,
    mesh: RunMesh | None = None,
    placements: Placements | None = None,
    precision: str = AUTO,
    keep: Collection[str] = (),
    gradient: GradientSettings = GradientSettings(),  # noqa: B008, frozen.
    trainable: str = 'all',
  ):
    """Places the split; compiles at the first call.

    Args:
      split: what to score, whole.
      model: the network.
      names: scores of one kind of pass: 'forward' and 'data' together, or
        'gradient'.
      mean: float32[channels], for normalisation; None to leave images.
      std: float32[channels].
      chunk_size: examples a chunk; rounded up to the number of devices.
      mesh: all devices in one slot if None.
      placements: of this start; None to place the split for this engine.
      precision: of all products, one of `PRECISIONS`; by default what is usual
        on the mesh's devices. The model's own dtype is left as it is.
      keep: with forward scores, also what `make_score_step` can keep.
      gradient: of the gradient pass.
      trainable: what gradients are of, see `trainable.is_trained`.
    """
    self._mesh = flat_mesh() if mesh is None else mesh
    self._split = split
    placements = placements or Placements()
    self._placement = placements.of(split, self._mesh.replicated)
    self._sharding = NamedSharding(self._mesh.mesh, P(DATA_AXIS))
    self._names = tuple(names)
    self._gradient = gradient
    if precision == AUTO:
      precision = usual_precision(self.platform)
    self._products = PRECISIONS[precision].products
    options: dict[str, Any] = dict(mean=mean, std=std, trainable=trainable)
    self._score: Any = self._compile(
      make_score_step(
        model,
        names,
        keep=keep,
        gradient=gradient,
        platform=self.platform,
        **options,
      )
    )
    direction = make_direction(model, **options)
    self._direction = self._mesh.jit(
      self._on_batch(direction, 'mask'),
      out_shardings=self._mesh.replicated,
    )
    self.chunk_size = 0
    self.use_chunks_of(chunk_size)

  @property
  def platform(self) -> str:
    """'cpu', 'gpu' or 'tpu'."""
    return self._mesh.platform

  @property
  def _chunks_in_flight(self) -> int:
    """Chunks on the device before the host fetches the oldest.

    None on CPU, which is the host itself: one may take seconds there, and a
    stop has to wait for all of them.
    """
    return 0 if self.platform == 'cpu' else 2

  def use_chunks_of(self, chunk_size: int) -> None:
    """Changes the size of chunks; rounded up to the number of devices."""
    chunk_size = max(1, min(chunk_size, self._split.num_examples))
    self.chunk_size = chunk_size + -chunk_size % self._mesh.devices_per_slot

  def _on_batch(self, function: Callable, second: str) -> Callable:
    """(variables, images, batch[second]) as (variables, feed, resident)."""

    def on_feed(variables, feed, resident):
      batch = self._placement.gather(resident, feed)
      with jax.default_matmul_precision(self._products):
        return function(variables, batch['image'], batch[second])

    return on_feed

  def _compile(self, score_step: Callable) -> Callable:
    return self._mesh.jit(
      jax.shard_map(
        self._on_batch(score_step, 'label'),
        mesh=self._mesh.mesh,
        in_specs=(P(), P(DATA_AXIS), P()),
        out_specs=P(DATA_AXIS),
        check_vma=False,
      ),
      out_shardings=self._mesh.replicated,
    )

  def _feed(self, example_index: np.ndarray) -> dict[str, jax.Array]:
    return self._mesh.put(self._placement.feed(example_index), self._sharding)

  def _chunk(self, start: int, indices: np.ndarray) -> np.ndarray:
    """One chunk of indices, padded with -1."""
    chunk = indices[start : start + self.chunk_size]
    padding = self.chunk_size - len(chunk)
    return np.pad(chunk, (0, padding), constant_values=-1).astype(np.int32)

  def lower(self, variables: Mapping[str, Any]) -> jax.stages.Lowered:
    """The program of one chunk, for the mesh's devices, there or not.

    Args:
      variables: {'params': ..., 'batch_stats': ...}, or their shapes.
    """
    if UNCLOG in self._names:
      variables = {**variables, 'unclog_direction': variables['params']}
    chunk = self._placement.feed(np.zeros(self.chunk_size, np.int32))
    return self._score.lower(
      self._mesh.abstract(dict(variables), self._mesh.replicated),
      self._mesh.abstract(chunk, self._sharding),
      self._placement.resident,
    )

  def temporary_bytes(self, variables: Mapping[str, Any]) -> int:
    """Bytes that scoring one chunk takes on a device besides its inputs."""
    compiled: Any = self.lower(variables).compile()
    return compiled.memory_analysis().temp_size_in_bytes

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
      done: the partial scores of an earlier start.
      on_chunk: called after each chunk with the partial scores.

    Returns:
      name -> float32[N]; with forward scores also 'prediction' int32[N] and
      what `keep` asked for.
    """
    variables = self._mesh.put(dict(variables), self._mesh.replicated)
    variables = self._with_direction(variables)
    done = Partial(0, {}) if done is None else done
    waiting: list[tuple[int, dict[str, jax.Array]]] = []
    everything = np.arange(self._split.num_examples)
    for start in range(done.num_done, len(everything), self.chunk_size):
      feed = self._feed(self._chunk(start, everything))
      scores = self._score(variables, feed, self._placement.resident)
      waiting.append((start, scores))
      if len(waiting) > self._chunks_in_flight:
        self._take(waiting.pop(0), done, on_chunk)
    while waiting:
      self._take(waiting.pop(0), done, on_chunk)
    return done.values

  def _take(self, chunk, done: Partial, on_chunk) -> None:
    start, scores = chunk
    stop = min(start + self.chunk_size, self._split.num_examples)
    for name, values in jax.device_get(scores).items():
      if name not in done.values:
        shape = (self._split.num_examples, *values.shape[1:])
        done.values[name] = np.zeros(shape, values.dtype)
      done.values[name][start:stop] = values[: stop - start]
    done.num_done = stop
    if on_chunk is not None:
      on_chunk(done)

  def _with_direction(self, variables: Mapping[str, Any]) -> Mapping[str, Any]:
    """Adds the mean gradient that unclog subtracts."""
    if UNCLOG not in self._names or 'unclog_direction' in variables:
      return variables
    settings = self._gradient
    sample = balanced_sample(
      self._split.labels, settings.unclog_sample_size, settings.unclog_seed
    )
    total = None
    for start in range(0, len(sample), self.chunk_size):
      part = self._direction(
        variables,
        self._feed(self._chunk(start, sample)),
        self._placement.resident,
      )
      total = part if total is None else jax.tree.map(jnp.add, total, part)
    mean = jax.tree.map(lambda leaf: leaf / len(sample), total)
    return {**variables, 'unclog_direction': mean}
