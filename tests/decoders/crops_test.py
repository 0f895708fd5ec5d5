"""Tests of rectangles that are cut out of files while they are decoded."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from datadiet.decoders.crops import NUM_DRAWS, Crops, crop, draw, rectangles
from datadiet.decoders.images import decode

WHOLE = 1.0


def picture(width, height, seed=0):
  """A smooth picture, so that ways of resizing differ little."""
  rng = np.random.default_rng(seed)
  coarse = rng.integers(0, 256, (3, 4, 3)).astype(np.uint8)
  image = Image.fromarray(coarse)
  return image.resize((width, height), Image.Resampling.BICUBIC)


def encoded(image, kind='JPEG', **options):
  content = io.BytesIO()
  options = {'quality': 95, **options} if kind == 'JPEG' else options
  image.save(content, kind, **options)
  return content.getvalue()


# A seed that mirrors nothing.
PLAIN = next(seed for seed in range(99) if not draw(seed)[1])


def cut(content, size=32, seed=PLAIN, min_area=0.08):
  return crop(content, Crops(np.array([seed], np.uint64), size, min_area), 0)


def test_half_of_the_crops_are_mirrored():
  """Whatever their rectangle."""
  found = np.array([draw(seed)[1] for seed in range(2000)])
  assert 0.46 < found.mean() < 0.54
  image = picture(60, 60)
  upright = cut(encoded(image), seed=int(np.argmin(found)), min_area=WHOLE)
  mirrored = cut(encoded(image), seed=int(np.argmax(found)), min_area=WHOLE)
  np.testing.assert_array_equal(upright, mirrored[:, ::-1])


def difference(one, other):
  return np.abs(one.astype(float) - other.astype(float)).mean()


def test_rectangles_are_of_the_sizes_and_shapes_that_are_asked_for():
  draws = np.random.default_rng(0).random((4000, NUM_DRAWS, 4))
  corner, size = rectangles(draws, 300, 400, 0.25)
  share = size.prod(-1) / (300 * 400)
  shape = size[:, 1] / size[:, 0]
  assert (corner >= 0).all() and (corner + size <= [300, 400]).all()
  assert 0.25 <= share.min() < 0.3 and share.max() > 0.9
  assert 0.749 < shape.min() < 0.8 and 1.3 < shape.max() < 1.334
  # They lie anywhere.
  place = corner / np.maximum([300, 400] - size, 1e-9)
  np.testing.assert_allclose(place.mean(0), 0.5, atol=0.02)


def test_the_whole_image_is_taken_where_no_rectangle_fits():
  draws = np.full((NUM_DRAWS, 4), 0.999)
  corner, size = rectangles(draws, 100, 1000, 0.5)
  assert corner.tolist() == [0, 0] and size.tolist() == [100, 1000]


def test_the_host_and_the_devices_draw_the_same_rectangles():
  draws = np.random.default_rng(1).random((50, NUM_DRAWS, 4), np.float32)
  found = jax.jit(lambda draws: rectangles(draws, 90, 60, 0.08, jnp))(draws)
  for one, other in zip(found, rectangles(draws, 90, 60, 0.08), strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize('kind', ['JPEG', 'PNG', 'WEBP'])
def test_a_crop_is_the_rectangle_of_the_decoded_image(kind):
  """As Pillow cuts and resizes it, which no line of ours takes part in."""
  image = picture(300, 200)
  for seed in range(8):
    draws, is_mirrored = draw(seed)
    corner, size = rectangles(draws, 200, 300, 0.08)
    (top, left), (bottom, right) = corner, corner + size
    box = (left, top, right, bottom)
    expected = image.resize((32, 32), Image.Resampling.BILINEAR, box=box)
    if is_mirrored:
      expected = expected.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    found = cut(encoded(image, kind), seed=seed)
    assert found.shape == (32, 32, 3) and found.dtype == np.uint8
    assert difference(found, np.asarray(expected)) < 3.0


def test_another_seed_is_another_crop_and_the_same_seed_the_same():
  content = encoded(picture(300, 200))
  np.testing.assert_array_equal(cut(content, seed=1), cut(content, seed=1))
  assert difference(cut(content, seed=1), cut(content, seed=2)) > 5


@pytest.mark.parametrize('shrink', [1, 2, 4, 8])
def test_large_jpegs_are_decoded_smaller_and_look_the_same(shrink):
  """The mean of areas, of pixels that were decoded at 1/shrink."""
  size = 400 // shrink - 10
  image = picture(400, 400)
  found = cut(encoded(image), size=size, min_area=WHOLE)
  expected = image.resize((size, size), Image.Resampling.BOX)
  assert difference(found, np.asarray(expected)) < 2.5


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('kind', ['JPEG', 'PNG'])
def test_a_crop_is_upright(kind, orientation):
  exif = Image.Exif()
  exif[0x0112] = orientation
  content = encoded(picture(120, 80), kind, exif=exif)
  upright = decode(content, 0)[0]
  assert upright.shape[:2] == ((80, 120) if orientation < 5 else (120, 80))
  found = cut(content, size=40, min_area=WHOLE)
  expected = cut(encoded(Image.fromarray(upright), 'PNG'), 40, min_area=WHOLE)
  assert difference(found, expected) < 3.0


@pytest.mark.parametrize('mode', ['L', 'CMYK', 'P', 'RGBA', '1'])
def test_colours_of_all_kinds_become_rgb(mode):
  kind = 'JPEG' if mode in ('L', 'CMYK') else 'PNG'
  image = picture(96, 96).convert(mode)
  found = cut(encoded(image, kind), min_area=WHOLE)
  whole = decode(encoded(image, kind), 0)[0]
  expected = Image.fromarray(whole).resize((32, 32), Image.Resampling.BOX)
  assert found.shape == (32, 32, 3)
  assert difference(found, np.asarray(expected)) < 3.0


@pytest.mark.parametrize('width, height', [(1, 1), (1, 500), (700, 2), (3, 3)])
def test_tiny_and_thin_images_give_squares_too(width, height):
  for kind in ('JPEG', 'PNG'):
    for seed in range(20):
      content = encoded(picture(width, height), kind)
      assert cut(content, size=16, seed=seed).shape == (16, 16, 3)


def test_what_is_no_image_is_refused():
  with pytest.raises(OSError, match='cannot identify'):
    cut(b'no image')
  content = encoded(picture(300, 200))
  with pytest.raises(OSError, match='truncated'):
    cut(content[: len(content) // 2])
