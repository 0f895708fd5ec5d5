"""Where a split's pixels live: on the devices, or on the host.

A placement has two halves. `feed` runs on the host and makes what is sent for
some example indices; `gather`, traced into the step, makes the batch of it.
"""

import dataclasses
import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from datadiet.data.dataset import Split
from datadiet.runtime import processes

# 'auto' puts a split on the device if it takes at most this share of memory.
_MEMORY_SHARE = 0.25
# Reads of a split that waits on a disk go on at the same time.
_NUM_READERS = 8
# Fewer bytes than these are gathered sooner than handed to threads.
_PARALLEL_BYTES = 2**22


@dataclasses.dataclass(frozen=True)
class DevicePlacement:
  """The whole split on every device; only indices are sent.

  Attributes:
    resident: {'image': uint8[N, height, width, channels], 'label': int32[N]},
      passed to the jitted function beside the feed.
  """

  resident: dict[str, jax.Array]

  @classmethod
  def of(cls, split: Split, sharding: jax.sharding.Sharding):
    """Puts a split on the devices of a sharding, whole on each."""
    host = {'image': np.asarray(split.images), 'label': split.labels}
    if jax.process_count() == 1:
      return cls(jax.device_put(host, sharding))
    return cls(
      {
        name: jax.make_array_from_callback(
          array.shape, sharding, lambda index, array=array: array[index]
        )
        for name, array in host.items()
      }
    )

  def feed(self, example_index: np.ndarray) -> dict[str, np.ndarray]:
    """What to send for int32[...] indices; -1 stands for padding."""
    return {'example_index': example_index}

  @staticmethod
  def gather(resident: Any, feed: dict[str, jax.Array]) -> dict:
    """The batch, with 'mask' false for padding; traced into the step."""
    example_index = feed['example_index']
    # Padding reads example 0 and is masked: JAX would wrap a negative index.
    position = jnp.maximum(example_index, 0)
    return {
      **feed,
      'image': resident['image'][position],
      'label': resident['label'][position],
      'mask': example_index >= 0,
    }


@dataclasses.dataclass(frozen=True)
class HostPlacement:
  """The split stays in (memory-mapped) host memory; pixels are sent."""

  split: Split
  resident: tuple = ()

  def feed(self, example_index: np.ndarray) -> dict[str, np.ndarray]:
    """As `DevicePlacement.feed`, with the pixels and labels themselves."""
    position = np.maximum(example_index, 0)
    return {
      'image': _gather_rows(self.split.images, position),
      'label': self.split.labels[position],
      'example_index': example_index,
    }

  @staticmethod
  def gather(resident: Any, feed: dict[str, jax.Array]) -> dict:
    """As `DevicePlacement.gather`."""
    del resident
    return {**feed, 'mask': feed['example_index'] >= 0}


Placement = DevicePlacement | HostPlacement


def place(
  split: Split, sharding: jax.sharding.Sharding, placement: str = 'auto'
) -> Placement:
  """Chooses a placement for a split.

  Args:
    split: the examples.
    sharding: a replicated sharding over the devices in use.
    placement: 'device', 'host', or 'auto': on the device if the pixels take
      at most a quarter of its memory.
  """
  if placement == 'auto':
    lacks = split.images.nbytes > _MEMORY_SHARE * _device_memory(sharding)
    placement = 'host' if processes.any_process(lacks) else 'device'
  if placement == 'host':
    return HostPlacement(split)
  return DevicePlacement.of(split, sharding)


def _device_memory(sharding: jax.sharding.Sharding) -> float:
  """Bytes that one device has for everything."""
  devices = sharding.addressable_devices
  stats = next(iter(devices)).memory_stats() or {}
  if 'bytes_limit' in stats:
    return stats['bytes_limit']
  # CPU devices do not say: they share the host's memory, a copy for each.
  return _host_memory() / len(devices)


@cache
def _host_memory() -> float:
  """Bytes of memory of this machine, or of the container it runs in."""
  try:
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  except (AttributeError, OSError, ValueError):  # Not on every system.
    return float('inf')
  try:
    with open('/sys/fs/cgroup/memory.max') as file:
      limit = file.read().strip()
  except OSError:
    return memory
  return min(memory, int(limit)) if limit.isdigit() else memory


@cache
def _readers() -> ThreadPoolExecutor:
  return ThreadPoolExecutor(_NUM_READERS, 'gather')


def _gather_rows(images: np.ndarray, position: np.ndarray) -> np.ndarray:
  """`images[position]` in memory, with several reads at a time.

  Args:
    images: uint8[N, height, width, channels]; may be memory-mapped.
    position: int[...], in [0, N).

  Returns:
    uint8[..., height, width, channels].
  """
  images = np.asarray(images)
  gathered = np.empty((*position.shape, *images.shape[1:]), np.uint8)
  rows = gathered.reshape(-1, *images.shape[1:])
  flat = position.reshape(-1)

  def gather(part: slice) -> None:
    # Lets other threads run meanwhile; 'clip' writes without a buffer.
    np.take(images, flat[part], axis=0, out=rows[part], mode='clip')

  if gathered.nbytes < _PARALLEL_BYTES:
    gather(slice(None))
  else:
    edges = np.linspace(0, len(flat), _NUM_READERS + 1, dtype=int)
    list(_readers().map(gather, map(slice, edges, edges[1:])))
  return gathered
