"""Normalisation and random augmentation of uint8 images, inside the step."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from datadiet.decoders.crops import NUM_DRAWS, rectangles


def normalise(images: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
  """Images as float32 with zero mean and unit deviation by channel.

  Args:
    images: [..., height, width, channels], of values from 0 to 255.
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


def centre_crop(images: jax.Array, size: int) -> jax.Array:
  """The middle of images.

  Args:
    images: [..., height, width, channels].
    size: height and width that are left; 0 for all.
  """
  if not size:
    return images
  top, left = ((pixels - size) // 2 for pixels in images.shape[-3:-1])
  return images[..., top : top + size, left : left + size, :]


def random_crop(
  images: jax.Array,
  rng: jax.Array,
  padding: int,
  data_axis: str | None = None,
  size: int = 0,
) -> jax.Array:
  """Reflect-pads and crops each image at an offset of its own.

  Args:
    images: uint8[batch, height, width, channels].
    rng: a key.
    padding: pixels added on each side.
    data_axis: the mesh axis over which the batch is split, if it is.
    size: height and width of the crops; 0 for those of the images.

  Returns:
    uint8[batch, size, size, channels].
  """
  batch, height, width, _ = images.shape
  padded = jnp.pad(
    images,
    ((0, 0), (padding, padding), (padding, padding), (0, 0)),
    mode='reflect',
  )
  kept = jnp.array([size or height, size or width])
  spare = jnp.array([height, width]) + 2 * padding - kept
  offsets = _own_share(
    lambda total: jax.random.randint(rng, (total, 2), 0, spare + 1),
    batch,
    data_axis,
  )
  rows = offsets[:, :1] + jnp.arange(size or height)
  columns = offsets[:, 1:] + jnp.arange(size or width)
  examples = jnp.arange(batch)
  return padded[examples[:, None, None], rows[:, :, None], columns[:, None, :]]


def random_resized_crop(
  images: jax.Array,
  rng: jax.Array,
  size: int,
  min_area: float,
  data_axis: str | None = None,
) -> jax.Array:
  """Cuts a rectangle out of each image and resizes it to a square.

  Which one `rectangles` says. Resized bilinearly, smoothed where it shrinks.

  Args:
    images: uint8[batch, height, width, channels].
    rng: a key.
    size: height and width of what is returned.
    min_area: the smallest share of an image.
    data_axis: the mesh axis over which the batch is split, if it is.

  Returns:
    float32[batch, size, size, channels], of the same range.
  """
  batch, height, width, channels = images.shape
  draws = _own_share(
    lambda total: jax.random.uniform(rng, (total, NUM_DRAWS, 4)),
    batch,
    data_axis,
  )
  corner, sides = rectangles(draws, height, width, min_area, jnp)
  scale = size / sides
  return jax.vmap(
    lambda image, scale, shift: jax.image.scale_and_translate(
      image, (size, size, channels), (0, 1), scale, shift, 'linear'
    )
  )(images.astype(jnp.float32), scale, -corner * scale)


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


def color_jitter(
  images: jax.Array,
  rng: jax.Array,
  strength: float,
  data_axis: str | None = None,
) -> jax.Array:
  """Varies brightness, contrast and saturation of each image, by dm-pix.

  Args:
    images: [batch, height, width, 3], of values from 0 to 255.
    rng: a key.
    strength: the largest change: of brightness, in shares of its range, and of
      the factors of contrast and saturation from 1.
    data_axis: the mesh axis over which the batch is split, if it is.

  Returns:
    float32 of the same shape, of values from 0 to 255.
  """
  import dm_pix  # Imported late: only those who ask for it need it.

  keys = _own_share(
    lambda total: jax.random.key_data(jax.random.split(rng, total)),
    images.shape[0],
    data_axis,
  )
  low, high = 1 - strength, 1 + strength

  def vary(image: jax.Array, key: jax.Array) -> jax.Array:
    brightness, contrast, saturation = jax.random.split(
      jax.random.wrap_key_data(key), 3
    )
    image = image.astype(jnp.float32) / 255.0
    image = dm_pix.random_brightness(brightness, image, strength)
    image = dm_pix.random_contrast(contrast, image, low, high)
    # Hue and saturation are of colours that there are.
    image = jnp.clip(image, 0.0, 1.0)
    image = dm_pix.random_saturation(saturation, image, low, high)
    return 255.0 * image

  return jax.vmap(vary)(images, keys)


@dataclasses.dataclass(frozen=True)
class Augmentation:
  """How images vary in training.

  Attributes:
    name: a key of `AUGMENTATIONS`.
    padding: pixels by which crops may shift over the edge.
    size: height and width that networks see; 0 for those of the images.
    min_area: smallest share of an image that is resized to `size`.
    jitter: strength of `color_jitter`; 0 for none.
  """

  name: str
  padding: int = 0
  size: int = 0
  min_area: float = 0.08
  jitter: float = 0.0

  def __call__(
    self, images: jax.Array, rng: jax.Array, data_axis: str | None = None
  ) -> jax.Array:
    """Varies a batch.

    Args:
      images: uint8[batch, height, width, channels].
      rng: a key.
      data_axis: the mesh axis over which the batch is split, if it is.

    Returns:
      [batch, height, width, channels] of the size that networks see, with
      pixels from 0 to 255; uint8 unless they were resized or jittered.
    """
    vary = AUGMENTATIONS[self.name]
    if not self.jitter:
      return vary(self, images, rng, data_axis)
    rng, jitter_rng = jax.random.split(rng)
    varied = vary(self, images, rng, data_axis)
    return color_jitter(varied, jitter_rng, self.jitter, data_axis)


def _crop_flip(how, images, rng, data_axis):
  crop_rng, flip_rng = jax.random.split(rng)
  cropped = random_crop(images, crop_rng, how.padding, data_axis, how.size)
  return random_flip(cropped, flip_rng, data_axis)


def _crop(how, images, rng, data_axis):
  return random_crop(images, rng, how.padding, data_axis, how.size)


def _resized_crop_flip(how, images, rng, data_axis):
  crop_rng, flip_rng = jax.random.split(rng)
  size = how.size or images.shape[1]
  cropped = random_resized_crop(images, crop_rng, size, how.min_area, data_axis)
  return random_flip(cropped, flip_rng, data_axis)


def _flip(how, images, rng, data_axis):
  return random_flip(centre_crop(images, how.size), rng, data_axis)


def _none(how, images, rng, data_axis):
  del rng, data_axis
  return centre_crop(images, how.size)


# Of encoded images, which arrive here as `decoders.crops` cut them.
PHOTO_CROP_FLIP = 'photo_crop_flip'
# (how, uint8 images, rng, data_axis) -> images.
AUGMENTATIONS: dict[str, Callable] = {
  'crop_flip': _crop_flip,
  'resized_crop_flip': _resized_crop_flip,
  PHOTO_CROP_FLIP: _none,
  'crop': _crop,
  'flip': _flip,
  'none': _none,
}
