"""Normalisation and random augmentation of uint8 images, inside the step."""

from collections.abc import Callable

import jax
import jax.numpy as jnp


def normalise(images: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
  """uint8 images to float32 with zero mean and unit deviation by channel.

  Args:
    images: uint8[..., height, width, channels].
    mean: float32[channels], of pixels in [0, 1].
    std: float32[channels].

  Returns:
    float32[..., height, width, channels].
  """
  return (images.astype(jnp.float32) / 255.0 - mean) / std


def _own_share(
  draw: Callable[[int], jax.Array], num_images: int, data_axis: str | None
) -> jax.Array:
  """Random draws for a run's whole batch, cut to this device's images.

  So what an image gets does not depend on the number of devices.
  """
  if data_axis is None:
    return draw(num_images)
  whole = draw(num_images * jax.lax.axis_size(data_axis))
  start = num_images * jax.lax.axis_index(data_axis)
  return jax.lax.dynamic_slice_in_dim(whole, start, num_images)


def random_crop(
  images: jax.Array,
  rng: jax.Array,
  padding: int,
  data_axis: str | None = None,
) -> jax.Array:
  """Reflect-pads and crops each image at an offset of its own.

  Args:
    images: uint8[batch, height, width, channels].
    rng: a key.
    padding: pixels added on each side.
    data_axis: the mesh axis over which the batch is split, if it is.

  Returns:
    uint8[batch, height, width, channels].
  """
  batch, height, width, _ = images.shape
  padded = jnp.pad(
    images,
    ((0, 0), (padding, padding), (padding, padding), (0, 0)),
    mode='reflect',
  )
  offsets = _own_share(
    lambda total: jax.random.randint(rng, (total, 2), 0, 2 * padding + 1),
    batch,
    data_axis,
  )
  rows = offsets[:, :1] + jnp.arange(height)
  columns = offsets[:, 1:] + jnp.arange(width)
  examples = jnp.arange(batch)
  return padded[examples[:, None, None], rows[:, :, None], columns[:, None, :]]


def random_flip(
  images: jax.Array, rng: jax.Array, data_axis: str | None = None
) -> jax.Array:
  """Mirrors each image left to right with probability one half."""
  flipped = _own_share(
    lambda total: jax.random.bernoulli(rng, 0.5, (total,)),
    images.shape[0],
    data_axis,
  )
  return jnp.where(flipped[:, None, None, None], images[:, :, ::-1], images)


def _crop_flip(images, rng, padding, data_axis=None):
  crop_rng, flip_rng = jax.random.split(rng)
  cropped = random_crop(images, crop_rng, padding, data_axis)
  return random_flip(cropped, flip_rng, data_axis)


def _flip(images, rng, padding, data_axis=None):
  del padding
  return random_flip(images, rng, data_axis)


def _none(images, rng, padding, data_axis=None):
  del rng, padding, data_axis
  return images


# (uint8 images, rng, padding, data_axis) -> uint8 images.
AUGMENTATIONS: dict[str, Callable] = {
  'crop_flip': _crop_flip,
  'crop': random_crop,
  'flip': _flip,
  'none': _none,
}
