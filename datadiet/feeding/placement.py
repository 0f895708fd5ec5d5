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
# Number of concurrent reads of a split that is on disk.
_NUM_READERS = 8
# Fewer bytes than this are gathered faster without threads.
_PARALLEL_BYTES = 2**22


@dataclasses.dataclass(frozen=True)
class DevicePlacement:
  """The whole split on every device; only indices are sent.

  Images lie flat there, a row each: TPUs lay [N, 32, 32, 3] out anew, padded
  and whole, for every gather.

  Attributes:
    resident: {'image': uint8[N, height * width * channels], 'label': int32[N]},
      passed to the jitted function beside the feed.
    image_shape: (height, width, channels).
  """

  resident: dict[str, Any]
  image_shape: tuple[int, ...]

  @classmethod
  def of(cls, split: Split, sharding: jax.sharding.Sharding):
    """Puts a split on the devices of a sharding, whole on each."""
    images = np.asarray(split.images)
    resident = {
      'image': _put(images.reshape(len(images), -1), sharding),
      'label': _put(split.labels, sharding),
    }
    return cls(resident, images.shape[1:])

  def with_labels(self, labels: np.ndarray) -> 'DevicePlacement':
    """The same pixels, not placed again, with int32[N] other labels."""
    label = _put(labels, self.resident['image'].sharding)
    return dataclasses.replace(self, resident={**self.resident, 'label': label})

  def feed(self, example_index: np.ndarray) -> dict[str, np.ndarray]:
    """What to send for int32[...] indices; -1 stands for padding."""
    return {'example_index': example_index}

  def gather(self, resident: Any, feed: dict[str, jax.Array]) -> dict:
    """The batch, with 'mask' false for padding; traced into the step."""
    example_index = feed['example_index']
    # Padding reads example 0 and is masked: JAX would wrap a negative index.
    position = jnp.maximum(example_index, 0)
    rows = resident['image'][position]
    return {
      **feed,
      'image': rows.reshape(*position.shape, *self.image_shape),
      'label': resident['label'][position],
      'mask': example_index >= 0,
    }


@dataclasses.dataclass(frozen=True)
class HostPlacement:
  """The split stays in (memory-mapped) host memory; pixels are sent."""

  split: Split
  resident: tuple = ()

  def with_labels(self, labels: np.ndarray) -> 'HostPlacement':
    """The same pixels with int32[N] other labels."""
    return HostPlacement(dataclasses.replace(self.split, labels=labels))

  def feed(self, example_index: np.ndarray) -> dict[str, np.ndarray]:
    """As `DevicePlacement.feed`, with the pixels and labels themselves."""
    position = np.maximum(example_index, 0)
    return {
      'image': _gather_rows(self.split.images, position),
      'label': self.split.labels[position],
      'example_index': example_index,
    }

  def gather(self, resident: Any, feed: dict[str, jax.Array]) -> dict:
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


class Placements:
  """The placements of a start: pixels are placed once for all users."""

  def __init__(self, placement: str = 'auto'):
    """Places nothing yet; `placement` is as in `place`."""
    self._placement = placement
    self._placed: dict[Any, tuple[Split, Placement]] = {}

  def of(self, split: Split, sharding: jax.sharding.NamedSharding) -> Placement:
    """The placement of a split; placed if its pixels are not there yet.

    Args:
      split: the examples.
      sharding: a replicated sharding over the devices in use.
    """
    key = (id(split.images), tuple(sharding.mesh.devices.flat))
    if key not in self._placed:
      # Holds the split, so that no other images get their place in memory.
      placed = place(split, sharding, self._placement)
      self._placed[key] = (split, placed)
    first, placed = self._placed[key]
    same = first.labels is split.labels
    return placed if same else placed.with_labels(split.labels)


def _put(array: np.ndarray, sharding: jax.sharding.Sharding) -> jax.Array:
  """An array whole on each device of a sharding, by every process."""
  if jax.process_count() == 1:
    return jax.device_put(array, sharding)
  return jax.make_array_from_callback(
    array.shape, sharding, lambda index: array[index]
  )


def _device_memory(sharding: jax.sharding.Sharding) -> float:
  """Bytes that one device has for everything."""
  devices = sharding.addressable_devices
  device: Any = next(iter(devices))  # jax's type lacks the method.
  stats = device.memory_stats() or {}
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
