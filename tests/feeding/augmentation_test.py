"""Tests of normalisation and augmentation."""

import colorsys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from datadiet.feeding import augmentation
from datadiet.feeding.augmentation import Augmentation
from tests.data import formats

SIZE, PADDING = 8, 3


def _offsets(images, cropped):
  """Each image's row and column offset, found by trying all of them."""
  margin = ((0, 0), (PADDING, PADDING), (PADDING, PADDING), (0, 0))
  padded = np.pad(images, margin, mode='reflect')
  found = []
  for whole, crop in zip(padded, np.asarray(cropped)):
    matching = [
      (row, column)
      for row in range(2 * PADDING + 1)
      for column in range(2 * PADDING + 1)
      if (whole[row : row + SIZE, column : column + SIZE] == crop).all()
    ]
    assert len(matching) == 1
    found.append(matching[0])
  return np.array(found)


def test_each_image_is_cropped_at_an_offset_of_its_own():
  images = formats.random_images(600, SIZE)
  cropped = augmentation.random_crop(images, jax.random.key(0), PADDING)
  assert cropped.dtype == jnp.uint8
  assert cropped.shape == images.shape
  offsets = _offsets(images, cropped)
  # All 49 offsets occur, each about 12 times; rows and columns independently.
  counts = np.zeros((7, 7))
  np.add.at(counts, tuple(offsets.T), 1)
  assert counts.min() >= 1
  for axis in (0, 1):
    deviation = np.abs(counts.sum(axis) - 600 / 7)
    assert deviation.max() < 5 * np.sqrt(600 / 7)
  assert abs(np.corrcoef(offsets.T)[0, 1]) < 0.2


def test_each_image_is_flipped_on_its_own():
  images = formats.random_images(400, SIZE)
  flipped = augmentation.random_flip(images, jax.random.key(1))
  assert flipped.dtype == jnp.uint8
  is_same = (np.asarray(flipped) == images).all((1, 2, 3))
  is_mirrored = (np.asarray(flipped) == images[:, :, ::-1]).all((1, 2, 3))
  assert (is_same ^ is_mirrored).all()
  assert abs(is_mirrored.mean() - 0.5) < 5 * 0.5 / np.sqrt(400)


def test_crop_and_flip_draw_independently():
  # One pixel of padding, where a shared draw would show at once.
  images = formats.random_images(400, SIZE)
  both = Augmentation('crop_flip', PADDING)(
    jnp.asarray(images), jax.random.key(2)
  )
  crop_rng, flip_rng = jax.random.split(jax.random.key(2))
  cropped = augmentation.random_crop(images, crop_rng, PADDING)
  offsets = _offsets(images, cropped)
  flipped = ~(np.asarray(both) == np.asarray(cropped)).all((1, 2, 3))
  expected = augmentation.random_flip(cropped, flip_rng)
  np.testing.assert_array_equal(both, expected)
  assert 0.3 < flipped.mean() < 0.7
  for axis in (0, 1):
    assert abs(np.corrcoef(offsets[:, axis], flipped)[0, 1]) < 0.25


@pytest.mark.parametrize('name', list(augmentation.AUGMENTATIONS))
def test_augmentation_is_a_function_of_the_key(name):
  images = jnp.asarray(formats.random_images(32, SIZE))
  augment = Augmentation(name, PADDING)
  one, same, other = (
    np.asarray(augment(images, jax.random.key(seed))) for seed in (0, 0, 1)
  )
  np.testing.assert_array_equal(one, same)
  # What is cut out of photographs is not varied again.
  fixed = ('none', augmentation.PHOTO_CROP_FLIP)
  assert (one != other).any() == (name not in fixed)
  assert one.dtype == (np.float32 if 'resized' in name else np.uint8)


@pytest.mark.parametrize('name', list(augmentation.AUGMENTATIONS))
def test_networks_see_a_part_of_an_image(name):
  images = jnp.asarray(formats.random_images(5, SIZE))
  seen = Augmentation(name, PADDING, size=5)(images, jax.random.key(0))
  assert seen.shape == (5, 5, 5, 3)
  if name == 'none':
    np.testing.assert_array_equal(seen, images[:, 1:6, 1:6])


@pytest.mark.parametrize('name', list(augmentation.AUGMENTATIONS))
def test_augmentation_is_the_same_however_it_is_sharded(name):
  images = formats.random_images(32, SIZE)
  augment = jax.jit(Augmentation(name, PADDING))
  results = []
  for num_devices in (1, 2, 8):
    mesh = Mesh(np.array(jax.devices()[:num_devices]), ('data',))
    sharding = NamedSharding(mesh, PartitionSpec('data'))
    key = jax.device_put(
      jax.random.key(5), NamedSharding(mesh, PartitionSpec())
    )
    placed = jax.device_put(images, sharding)
    results.append(np.asarray(augment(placed, key)))
  np.testing.assert_array_equal(results[0], results[1])
  np.testing.assert_array_equal(results[0], results[2])


def ramps(num):
  """Images of which each pixel tells where it is, uint8[num, 100, 80, 2]."""
  rows, columns = np.mgrid[:100, :80]
  return np.broadcast_to(
    np.stack([2 * rows, 3 * columns], -1), (num, 100, 80, 2)
  )


def test_resized_crops_are_the_rectangles_that_were_drawn():
  images = ramps(300).astype(np.uint8)
  crops = augmentation.random_resized_crop(
    jnp.asarray(images), jax.random.key(0), 50, 0.25
  )
  inner = np.asarray(crops)[:, 5:-5, 5:-5] / [2, 3]
  # Linear in each, but for the edges of an image.
  tall = 50 * np.diff(inner[..., 0], axis=1).mean((1, 2))
  wide = 50 * np.diff(inner[..., 1], axis=2).mean((1, 2))
  share = tall * wide / 8000
  assert share.min() > 0.24 and share.max() <= 1.01
  assert abs(share.mean() - 0.55) < 0.06  # Few draws near 1 fit.
  assert (wide / tall).min() > 0.74 and (wide / tall).max() < 1.35
  top = inner[:, 0, 0, 0] - 5.5 * tall / 50
  left = inner[:, 0, 0, 1] - 5.5 * wide / 50
  for corner, side, length in ((top, tall, 100), (left, wide, 80)):
    assert corner.min() > -1.5 and (corner + side).max() < length + 0.5
    place = corner[side < 0.9 * length] / (length - side)[side < 0.9 * length]
    assert place.min() < 0.1 and place.max() > 0.85
  assert len(np.unique(np.round(tall, 3))) > 290


def test_a_resized_crop_of_all_is_the_image_resized():
  images = formats.random_images(3, 8)
  crops = augmentation.random_resized_crop(
    jnp.asarray(images), jax.random.key(0), 4, 1.0
  )
  # With a shape of its own no rectangle of the whole area fits.
  whole = jax.image.resize(images.astype(np.float32), (3, 4, 4, 3), 'linear')
  np.testing.assert_allclose(crops, whole, atol=1e-3)


def test_no_padding_crops_nothing():
  images = formats.random_images(5, SIZE)
  cropped = augmentation.random_crop(images, jax.random.key(0), 0)
  np.testing.assert_array_equal(cropped, images)


def test_normalised_pixels():
  images = formats.random_images(50, SIZE)
  mean = (images / 255).mean((0, 1, 2)).astype(np.float32)
  std = (images / 255).std((0, 1, 2)).astype(np.float32)
  normalised = augmentation.normalise(jnp.asarray(images), mean, std)
  assert normalised.dtype == jnp.float32
  np.testing.assert_allclose(normalised.mean((0, 1, 2)), 0, atol=1e-5)
  np.testing.assert_allclose(normalised.std((0, 1, 2)), 1, atol=1e-5)


def test_color_jitter_is_that_of_single_images():
  """Brightness adds, contrast scales about the mean, saturation that of HSV."""
  images = formats.random_images(40, SIZE)
  how = Augmentation('none', jitter=0.4)
  found = np.asarray(how(jnp.asarray(images), jax.random.key(3)))
  assert found.dtype == np.float32 and found.shape == images.shape
  assert found.min() >= 0 and found.max() <= 255
  _, rng = jax.random.split(jax.random.key(3))
  for image, key, varied in zip(images, jax.random.split(rng, 40), found):
    parts = jax.random.split(key, 3)
    delta = jax.random.uniform(parts[0], (), minval=-0.4, maxval=0.4)
    contrast, saturation = (
      jax.random.uniform(part, (), minval=0.6, maxval=1.4) for part in parts[1:]
    )
    pixels = image / 255.0 + float(delta)
    mean = pixels.mean((0, 1))
    pixels = np.clip((pixels - mean) * float(contrast) + mean, 0, 1)
    for expected, got in zip(pixels.reshape(-1, 3), varied.reshape(-1, 3)):
      hue, saturated, value = colorsys.rgb_to_hsv(*expected)
      saturated = min(saturated * float(saturation), 1.0)
      expected = 255 * np.array(colorsys.hsv_to_rgb(hue, saturated, value))
      np.testing.assert_allclose(got, expected, atol=0.05)


def test_color_jitter_of_a_split_batch_is_that_of_the_whole():
  images, how = (
    formats.random_images(16, SIZE),
    Augmentation('flip', jitter=0.2),
  )
  whole = how(jnp.asarray(images), jax.random.key(0))
  mesh = Mesh(np.array(jax.devices()[:4]), ('data',))
  split = jax.shard_map(
    lambda images: how(images, jax.random.key(0), 'data'),
    mesh=mesh,
    in_specs=PartitionSpec('data'),
    out_specs=PartitionSpec('data'),
  )(jnp.asarray(images))
  np.testing.assert_allclose(split, whole, rtol=1e-5, atol=1e-3)
