"""Where a split's pixels live: on the devices, or on the host.

A placement has two halves. `feed` runs on the host and makes what is sent for
some example indices; `gather`, traced into the step, makes the batch of it.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from datadiet.data.dataset import Split


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
      'image': resident['image'][position],
      'label': resident['label'][position],
      'example_index': example_index,
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
      'image': np.asarray(self.split.images[position]),
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
    device = next(iter(sharding.addressable_devices))
    stats = device.memory_stats() or {}
    limit = stats.get('bytes_limit', 0)
    fits = not limit or split.images.nbytes <= limit / 4
    placement = 'device' if fits else 'host'
  if placement == 'host':
    return HostPlacement(split)
  return DevicePlacement.of(split, sharding)
