"""Where a split's pixels live: on devices, on the host, or encoded on disk.

A placement has two halves. `feed` runs on the host and makes what is sent for
some example indices; `gather`, traced into the step, makes the batch of it.
"""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging

from datadiet.data.dataset import Split
from datadiet.data.packed import PackedImages, cropped, decoded
from datadiet.decoders.crops import Crops
from datadiet.feeding.augmentation import centre_crop
from datadiet.runtime import processes
from datadiet.runtime.late import LateArray
from datadiet.runtime.memory import host_memory

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
    crop_size: see `Split.crop_size`.
  """

  resident: dict[str, Any]
  image_shape: tuple[int, ...]
  crop_size: int = 0

  @classmethod
  def of(cls, split: Split, sharding: jax.sharding.Sharding):
    """Puts a split on the devices of a sharding, whole on each."""
    images = np.asarray(split.images)
    resident = {
      'image': _put(images.reshape(len(images), -1), sharding),
      'label': _put(split.labels, sharding),
    }
    return cls(resident, images.shape[1:], split.crop_size)

  def with_labels(self, labels: np.ndarray) -> 'DevicePlacement':
    """The same pixels, not placed again, with int32[N] other labels."""
    label = _put(labels, self.resident['image'].sharding)
    return dataclasses.replace(self, resident={**self.resident, 'label': label})

  def feed(
    self, example_index: np.ndarray, crops: Crops | None = None
  ) -> dict[str, np.ndarray]:
    """What to send for int32[...] indices; -1 stands for padding.

    Args:
      example_index: int32[...].
      crops: None, as no images are encoded here.
    """
    assert crops is None
    return {'example_index': example_index}

  def gather(
    self, resident: Any, feed: dict[str, jax.Array], whole: bool = False
  ) -> dict:
    """The batch, with 'mask' false for padding; traced into the step.

    Args:
      resident: the attribute.
      feed: of `feed`.
      whole: whether to give all of an image, for training, and not what
        networks see of it in tests and scores.
    """
    example_index = feed['example_index']
    # Padding reads example 0 and is masked: JAX would wrap a negative index.
    position = jnp.maximum(example_index, 0)
    rows = resident['image'][position]
    images = rows.reshape(*position.shape, *self.image_shape)
    return {
      **feed,
      'image': images if whole else centre_crop(images, self.crop_size),
      'label': resident['label'][position],
      'mask': example_index >= 0,
    }


@dataclasses.dataclass(frozen=True)
class HostPlacement:
  """The split stays in (memory-mapped) host memory; pixels are sent.

  Images that stay encoded are decoded when a batch is sent, by each process
  those of its own devices.
  """

  split: Split
  resident: tuple = ()

  def with_labels(self, labels: np.ndarray) -> 'HostPlacement':
    """The same pixels with int32[N] other labels."""
    return HostPlacement(dataclasses.replace(self.split, labels=labels))

  def feed(
    self, example_index: np.ndarray, crops: Crops | None = None
  ) -> dict[str, np.ndarray]:
    """As `DevicePlacement.feed`, with the pixels and labels themselves.

    Args:
      example_index: int32[...].
      crops: rectangles to cut out of images, which must be encoded, with seeds
        uint64[...]; None for whole images.
    """
    assert crops is None or isinstance(self.split.images, PackedImages)
    position = np.maximum(example_index, 0)
    return {
      'image': _rows(self.split.images, position, crops),
      'label': self.split.labels[position],
      'example_index': example_index,
    }

  def gather(
    self, resident: Any, feed: dict[str, jax.Array], whole: bool = False
  ) -> dict:
    """As `DevicePlacement.gather`."""
    del resident
    images = feed['image']
    if not whole:
      images = centre_crop(images, self.split.crop_size)
    return {**feed, 'image': images, 'mask': feed['example_index'] >= 0}


Placement = DevicePlacement | HostPlacement


def place(
  split: Split, sharding: jax.sharding.Sharding, placement: str = 'auto'
) -> Placement:
  """Chooses a placement for a split.

  Args:
    split: the examples.
    sharding: a replicated sharding over the devices in use.
    placement: 'device', 'host', or 'auto': on the device if the pixels take
      at most a quarter of its memory. Images that are encoded stay so.
  """
  if isinstance(split.images, PackedImages):
    return HostPlacement(split)
  if placement == 'auto':
    placement = choose(split, _device_memory(sharding))
  if placement == 'host':
    return HostPlacement(split)
  return DevicePlacement.of(split, sharding)


def choose(split: Split, memory: float) -> str:
  """What 'auto' stands for: 'device' or 'host', the same in every process.

  Args:
    split: the examples.
    memory: bytes that a device has for everything.
  """
  num_bytes = split.images.nbytes
  lacks = processes.any_process(num_bytes > _MEMORY_SHARE * memory)
  placement = 'host' if lacks else 'device'
  logging.info(
    'Pixels of %d images on the %s: %.3g GB, and a device has %.3g GB',
    split.num_examples,
    placement,
    num_bytes / 1e9,
    memory / 1e9,
  )
  return placement


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
  return host_memory() / len(devices)


@cache
def _readers() -> ThreadPoolExecutor:
  return ThreadPoolExecutor(_NUM_READERS, 'gather')


class _DecodedRows(LateArray):
  """Images of rows of a split, or parts of them, decoded when they are sent."""

  def __init__(
    self, images: PackedImages, position: np.ndarray, crops: Crops | None
  ):
    self._images, self._position, self._crops = images, position, crops
    height, width, channels = images.shape[1:]
    if crops is not None:
      height = width = crops.size
    self.shape = (*position.shape, height, width, channels)
    self.dtype = images.dtype

  def __getitem__(self, index: Any) -> np.ndarray:
    own = index[: self._position.ndim]
    if self._crops is None:
      return decoded(self._images, self._position[own])
    crops = self._crops._replace(seeds=self._crops.seeds[own])
    return cropped(self._images, self._position[own], crops)


def _rows(
  images: np.ndarray | PackedImages,
  position: np.ndarray,
  crops: Crops | None = None,
) -> np.ndarray | LateArray:
  """`images[position]`, as soon as possible or as late."""
  if isinstance(images, PackedImages):
    return _DecodedRows(images, position, crops)
  return _gather_rows(images, position)


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
