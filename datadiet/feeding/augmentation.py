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


def random_crop(images: jax.Array, rng: jax.Array, padding: int) -> jax.Array:
  """Reflect-pads and crops each image at an offset of its own.

  Args:
    images: uint8[batch, height, width, channels].
    rng: a key.
    padding: pixels added on each side.

  Returns:
    uint8[batch, height, width, channels].
  """
  batch, height, width, _ = images.shape
  padded = jnp.pad(
    images,
    ((0, 0), (padding, padding), (padding, padding), (0, 0)),
    mode='reflect',
  )
  offsets = jax.random.randint(rng, (batch, 2), 0, 2 * padding + 1)
  rows = offsets[:, :1] + jnp.arange(height)
  columns = offsets[:, 1:] + jnp.arange(width)
  examples = jnp.arange(batch)
  return padded[examples[:, None, None], rows[:, :, None], columns[:, None, :]]


def random_flip(images: jax.Array, rng: jax.Array) -> jax.Array:
  """Mirrors each image left to right with probability one half."""
  flipped = jax.random.bernoulli(rng, 0.5, (images.shape[0], 1, 1, 1))
  return jnp.where(flipped, images[:, :, ::-1], images)


def _crop_flip(images, rng, padding):
  crop_rng, flip_rng = jax.random.split(rng)
  return random_flip(random_crop(images, crop_rng, padding), flip_rng)


def _flip(images, rng, padding):
  del padding
  return random_flip(images, rng)


def _none(images, rng, padding):
  del rng, padding
  return images


# (uint8 images, rng, padding) -> uint8 images.
AUGMENTATIONS: dict[str, Callable] = {
  'crop_flip': _crop_flip,
  'crop': random_crop,
  'flip': _flip,
  'none': _none,
}
