"""Tests of what is decoded, and of how images become squares."""

import io

import numpy as np
import pytest
from PIL import Image

from datadiet.data import load_dataset
from datadiet.decoders import images
from datadiet.decoders.images import RESIZES
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats


def encoded(width, height, kind='PNG'):
  """A picture of which each pixel tells where it is."""
  rows, columns = np.mgrid[:height, :width]
  pixels = np.stack([rows, columns, 0 * rows], -1).astype(np.uint8)
  content = io.BytesIO()
  Image.fromarray(pixels).save(content, kind)
  return content.getvalue()


def decode(content, size, mode):
  return images.decode(content, size, mode=mode)[0]


@pytest.mark.parametrize('width, height', [(120, 60), (60, 120), (90, 60)])
def test_the_shorter_side_is_resized_and_the_middle_cut_out(width, height):
  content = encoded(width, height)
  found = decode(content, 30, 'shorter_side').astype(float)
  assert found.shape == (30, 30, 3)
  # Half the size, whatever the shape; of the longer side only the middle.
  for channel, side in ((0, height), (1, width)):
    places = found[..., channel].mean(1 - channel)
    assert abs(places[15] - side / 2) < 1.5
    np.testing.assert_allclose(np.diff(places)[1:-1], 2, atol=1.01)


def test_the_middle_is_cut_out_as_it_is():
  content = encoded(70, 40)
  found = decode(content, 32, 'none')
  whole = decode(content, 0, 'none')
  np.testing.assert_array_equal(found, whole[4:36, 19:51])


def test_squashing_changes_the_shape():
  found = decode(encoded(120, 60), 30, 'squash').astype(int)
  np.testing.assert_allclose(np.diff(found[..., 1])[:, 1:-1], 4, atol=1)
  np.testing.assert_allclose(np.diff(found[..., 0], axis=0)[1:-1], 2, atol=1)


@pytest.mark.parametrize('mode', RESIZES)
def test_a_square_of_that_size_stays_as_it_is(mode):
  content = encoded(32, 32)
  np.testing.assert_array_equal(
    decode(content, 32, mode), decode(content, 0, mode)
  )


def test_large_photographs_are_decoded_smaller_for_the_shorter_side(
  monkeypatch,
):
  drafts = []
  draft = Image.Image.draft
  monkeypatch.setattr(
    'PIL.JpegImagePlugin.JpegImageFile.draft',
    lambda self, mode, size: drafts.append(size) or draft(self, mode, size),
  )
  content = encoded(200, 160, 'JPEG')
  decode(content, 20, 'shorter_side')
  decode(content, 20, 'none')
  assert drafts == [(40, 40)]


@pytest.mark.parametrize('dtype', [np.int32, np.float32])
def test_pixels_of_unknown_range_are_refused(dtype):
  """Integers of 32 bits, cut to 8, would all be black or white."""
  content = io.BytesIO()
  Image.fromarray(np.full((8, 8), 200, dtype)).save(content, 'TIFF')
  with pytest.raises(ValueError, match='32-bit .* allowed: up to 16 bits'):
    images.decode(content.getvalue(), 0)


def write_folder(tmp_path, sizes):
  for number, (width, height) in enumerate(sizes):
    for name in ('train/a', 'train/b', 'test/a', 'test/b'):
      folder = tmp_path / name
      folder.mkdir(parents=True, exist_ok=True)
      path = folder / f'{number}.png'
      path.write_bytes(encoded(width + number, height))


def test_an_image_smaller_than_what_is_cut_out_is_named(tmp_path):
  write_folder(tmp_path, [(40, 40), (40, 20)])
  settings = formats.settings(
    'image_folder', tmp_path, image_size=32, resize='none'
  )
  with pytest.raises(DataDietError, match='1.png cannot be read') as error:
    load_dataset(settings)
  assert '41x20 pixels, fewer than the 32x32 that are cut' in str(error.value)


def test_a_crop_larger_than_the_images_is_refused(tmp_path):
  write_folder(tmp_path, [(40, 40), (50, 40)])
  settings = formats.settings(
    'image_folder', tmp_path, image_size=32, crop_size=33
  )
  with pytest.raises(ConfigError, match='crop_size: 33 .* at most 32'):
    load_dataset(settings)


def test_networks_see_the_crop(tmp_path):
  write_folder(tmp_path, [(40, 40), (50, 40)])
  settings = formats.settings(
    'image_folder', tmp_path, image_size=32, crop_size=28
  )
  dataset = load_dataset(settings)
  assert dataset.image_shape == (32, 32, 3)
  assert dataset.input_shape == (28, 28, 3)
  assert dataset.train.crop_size == dataset.test.crop_size == 28
