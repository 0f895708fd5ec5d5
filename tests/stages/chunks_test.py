"""Tests of how many examples of the gradient pass go at a time."""

import types

import jax
import pytest

from datadiet.stages import chunks


class _Engine:
  """Takes 1 MiB for an image of a chunk; on two devices."""

  def __init__(self, chunk_size):
    self.chunk_size = chunk_size
    self.compiled = []

  def use_chunks_of(self, chunk_size):
    self.chunk_size = max(2, chunk_size - chunk_size % 2)

  def temporary_bytes(self, variables):
    self.compiled.append(self.chunk_size)
    if self.chunk_size > 256:
      raise jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: of HBM')
    return self.chunk_size // 2 * 2**20


@pytest.mark.parametrize(
  'first, free, expected, num_compiled',
  [
    (256, 1000, 256, 1),  # One program is compiled where all is well.
    (1024, 1000, 256, 3),  # The compiler refuses two.
    (256, 100, 64, 3),
    (6, 0, 2, 2),  # An example a device is tried all the same.
  ],
)
def test_chunks_are_halved_until_they_fit_in_half_of_what_is_free(
  first, free, expected, num_compiled
):
  engine = _Engine(first)
  chunks.fit_chunk(engine, {}, free * 2**20)
  assert engine.chunk_size == expected
  assert len(engine.compiled) == num_compiled


def test_other_failures_of_a_compiler_are_told():
  engine = _Engine(8)

  def fail(variables):
    raise jax.errors.JaxRuntimeError('INTERNAL: bad')

  engine.temporary_bytes = fail
  with pytest.raises(jax.errors.JaxRuntimeError, match='INTERNAL'):
    chunks.fit_chunk(engine, {}, 1.0)


@pytest.mark.parametrize(
  'platform, expected', [('tpu', 1024), ('gpu', 2048), ('cpu', 128)]
)
def test_what_fitting_begins_with(platform, expected):
  mesh = types.SimpleNamespace(platform=platform, devices_per_slot=8)
  assert chunks.most_examples(mesh) == expected
