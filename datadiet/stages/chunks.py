"""How many examples a gradient pass scores at a time: as a device can hold."""

from collections.abc import Mapping
from typing import Any

import jax
from absl import logging

from datadiet.errors import counted
from datadiet.runtime.mesh import RunMesh
from datadiet.scoring import registry
from datadiet.scoring.engine import ScoringEngine
from datadiet.scoring.settings import ScoreSettings

# Share of a device's free memory that what a chunk takes may have.
MEMORY_SHARE = 0.5
# Images a chunk and device that fitting begins with. With more, what passes
# from one operation to the next no longer stays on a TPU's chip, and an image
# takes longer, by the compiler's estimates.
_MOST_A_DEVICE = {'tpu': 128, 'gpu': 256}
# Of all devices together that are the host itself: more gain nothing there.
_MOST_ON_CPU = 128


def is_fitted(score: ScoreSettings, group: tuple[str, ...]) -> bool:
  """Whether the chunks of a pass are to be as large as memory allows."""
  is_gradient = bool(registry.of_kind(group, registry.GRADIENT))
  return is_gradient and not score.gradient_batch_size


def most_examples(mesh: RunMesh) -> int:
  """The examples of a chunk that fitting begins with, on all devices."""
  if mesh.platform == 'cpu':
    return _MOST_ON_CPU
  return _MOST_A_DEVICE[mesh.platform] * mesh.devices_per_slot


def halve_chunk(engine: ScoringEngine) -> bool:
  """Halves the chunk; False where it is an example a device already."""
  before = engine.chunk_size
  engine.use_chunks_of(before // 2)
  return engine.chunk_size < before


def is_out_of_memory(error: Exception) -> bool:
  """Whether a compiler or a device refused a program for want of memory."""
  return 'RESOURCE_EXHAUSTED' in str(error)


def fit_chunk(
  engine: ScoringEngine, variables: Mapping[str, Any], free_bytes: float
) -> None:
  """Halves the chunk until it fits, by what the compiler says of each.

  Where an example a device does not fit, it is tried all the same.

  Args:
    engine: of `network_scores.make_engine`.
    variables: those of a network to be scored, or their shapes.
    free_bytes: of a device.
  """
  while not _fits(engine, variables, free_bytes * MEMORY_SHARE):
    if not halve_chunk(engine):
      break
  at_once = counted(engine.chunk_size, 'example')
  logging.info('Gradient scores: %s at a time', at_once)


def _fits(engine, variables, allowed: float) -> bool:
  try:
    return engine.temporary_bytes(variables) <= allowed
  except jax.errors.JaxRuntimeError as error:
    # The compiler for TPUs refuses what the chip cannot hold.
    if not is_out_of_memory(error):
      raise
    return False
