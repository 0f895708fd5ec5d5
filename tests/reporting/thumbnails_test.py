"""Tests that sprite sheets hold the right images and keep to their size."""

import io

import numpy as np
import pytest
from PIL import Image

from datadiet.reporting.thumbnails import TILES_PER_SHEET, make_thumbnails


def _images(num: int, size: int = 8, channels: int = 3) -> np.ndarray:
  """Images that differ: each has a colour of its own, and a bright corner."""
  rng = np.random.default_rng(0)
  colors = rng.integers(0, 200, (num, 1, 1, channels))
  images = np.broadcast_to(colors, (num, size, size, channels)).copy()
  images[:, : size // 2, : size // 2] += 50
  return images.astype(np.uint8)


def _cut(thumbnails, slot: int) -> np.ndarray:
  """The thumbnail in a slot, as the page cuts it out."""
  sheet = thumbnails.sheets[slot // TILES_PER_SHEET]
  pixels = np.asarray(Image.open(io.BytesIO(sheet)).convert('RGB'))
  place = slot % TILES_PER_SHEET
  left = place % 16 * thumbnails.stride[0]
  top = place // 16 * thumbnails.stride[1]
  return pixels[
    top : top + thumbnails.height, left : left + thumbnails.width
  ].astype(int)


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_thumbnails_that_fit_are_lossless(channels):
  images = _images(300, channels=channels)
  order = np.random.default_rng(1).permutation(300)
  thumbnails = make_thumbnails(images, order, 10**6)
  assert thumbnails.mime_type == 'image/png'
  assert thumbnails.num_left_out == 0
  assert len(thumbnails.sheets) == 2
  for index in range(300):
    found = _cut(thumbnails, thumbnails.slot[index])
    expected = np.broadcast_to(images[index][..., :3], (8, 8, 3))
    np.testing.assert_array_equal(found, expected)
  assert thumbnails.slot[order[7]] == 7


@pytest.mark.parametrize('size', [8, 28, 32])
def test_coded_thumbnails_look_like_the_images(size):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (600, size, size, 3)).astype(np.uint8)
  images[::2] = 230
  lossless = make_thumbnails(images, np.arange(600), 10**8)
  limit = sum(map(len, lossless.sheets)) * 3 // 4
  thumbnails = make_thumbnails(images, np.arange(600), limit)
  assert thumbnails.mime_type == 'image/jpeg'
  assert thumbnails.num_left_out == 0
  assert sum(map(len, thumbnails.sheets)) <= limit
  for index in range(0, 600, 2):
    # Beside noise, flat images stay flat up to their edges.
    found = _cut(thumbnails, thumbnails.slot[index])
    assert abs(found.mean(2) - 230).max() < 16
  noise = _cut(thumbnails, thumbnails.slot[1]).mean(2)
  assert np.corrcoef(noise.ravel(), images[1].mean(2).ravel())[0, 1] > 0.7


def test_large_images_are_made_smaller():
  images = _images(20, 100)[:, :, :50]
  thumbnails = make_thumbnails(images, np.arange(20), 10**6)
  assert (thumbnails.width, thumbnails.height) == (32, 64)
  found = _cut(thumbnails, thumbnails.slot[3])
  assert abs(found.mean((0, 1)) - images[3].mean((0, 1))).max() < 2


def test_what_does_not_fit_is_left_out_from_the_middle():
  images = np.random.default_rng(0).integers(0, 256, (3000, 32, 32, 3))
  images = images.astype(np.uint8)
  order = np.random.default_rng(1).permutation(3000)
  limit = 300_000
  thumbnails = make_thumbnails(images, order, limit)
  assert 300 < thumbnails.num_left_out < 2900
  assert sum(map(len, thumbnails.sheets)) <= limit
  has_one = thumbnails.slot[order] >= 0
  assert has_one[:50].all() and has_one[-50:].all()
  middle = has_one[1000:2000]
  assert 0 < middle.sum() < 1000
  assert sorted(thumbnails.slot[thumbnails.slot >= 0]) == list(
    range(has_one.sum())
  )


def test_no_room_is_no_error():
  thumbnails = make_thumbnails(_images(300), np.arange(300), 0)
  assert thumbnails.sheets == []
  assert thumbnails.num_left_out == 300
