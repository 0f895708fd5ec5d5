"""Tests of how many examples of the gradient pass go at a time."""

import pytest

from datadiet.stages import network_scores


class _Engine:
  """Takes 1 MiB for an image of a chunk; on two devices."""

  def __init__(self, platform, chunk_size):
    self.platform = platform
    self.chunk_size = chunk_size
    self.compiled = []

  def use_chunks_of(self, chunk_size):
    self.chunk_size = max(2, chunk_size - chunk_size % 2)

  def temporary_bytes(self, variables):
    self.compiled.append(self.chunk_size)
    return self.chunk_size // 2 * 2**20


@pytest.mark.parametrize(
  'platform, first, free, expected, num_compiled',
  [
    ('tpu', 256, 1000, 256, 1),  # One program is compiled where all is well.
    ('tpu', 256, 100, 64, 3),
    ('tpu', 256, 0, 2, 8),  # It is tried all the same.
    ('gpu', 32, 1000, 512, 5),
    ('gpu', 32, 10**6, 1024, 5),
    ('cpu', 32, 1000, 128, 2),
  ],
)
def test_chunks_fit_in_half_of_the_free_memory(
  platform, first, free, expected, num_compiled, monkeypatch
):
  monkeypatch.setattr(network_scores, '_free_bytes', lambda: free * 2**20)
  engine = _Engine(platform, first)
  network_scores.fit_chunk(engine, {})
  assert engine.chunk_size == expected
  assert len(engine.compiled) == num_compiled
