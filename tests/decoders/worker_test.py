"""Tests of what a worker decodes, its rate, and what it says is wrong."""

import time

import numpy as np
import pytest

from datadiet.decoders import worker
from datadiet.decoders.crops import Crops, crop
from datadiet.decoders.images import Notes
from datadiet.decoders.worker import decode_chunk
from tests.data import formats


def test_what_is_wrong_is_told_and_the_image_black(tmp_path):
  """Other images are decoded all the same."""
  image = formats.random_images(1, 8)[0]
  encoded = formats.encode(image)
  contents = [
    encoded,
    b'no image',
    formats.encode(formats.random_images(1, 9)[0]),
    str(tmp_path / 'missing.png'),
    str(tmp_path),
    encoded,
  ]
  images = np.ones((6, 8, 8, 3), np.uint8)
  errors, notes = decode_chunk(images, contents, 0)
  assert errors == [
    (1, worker.UNREADABLE, 'not an image of a known format'),
    (2, worker.OTHER_SIZE, '9x9'),
    (3, worker.UNREADABLE, 'No such file or directory'),
    (4, worker.NOT_READ, 'Is a directory'),
  ]
  assert not images[1:5].any() and not notes
  np.testing.assert_array_equal(images[[0, 5]], [image, image])


def test_there_are_notes_only_where_there_is_something_to_note():
  image = formats.random_images(1, 8)[0]
  seen_through = np.concatenate([image, image[..., :1] // 2], -1)
  images = np.empty((2, 8, 8, 3), np.uint8)
  contents = [formats.encode(image), formats.encode(seen_through)]
  errors, notes = decode_chunk(images, contents, 0, 'black')
  assert not errors and notes == [(1, Notes(is_transparent=True))]


def test_rectangles_are_those_of_crop():
  """One seed an image; what cannot be read stops none of the others."""
  contents = [
    formats.encode(image, 'JPEG') for image in formats.random_images(3, 40)
  ]
  contents[1] = b'no image'
  crops = Crops(np.arange(3, dtype=np.uint64), 16, 0.08)
  images = np.ones((3, 16, 16, 3), np.uint8)
  errors, _ = decode_chunk(images, contents, 8, 'white', 'squash', crops)
  assert [(row, kind) for row, kind, _ in errors] == [(1, worker.UNREADABLE)]
  assert not images[1].any()
  for row in (0, 2):
    expected = crop(contents[row], crops, row)
    np.testing.assert_array_equal(images[row], expected)


@pytest.mark.parametrize(
  'error, expected',
  [
    (OSError('image file is truncated\nat the end'), 'image file is truncated'),
    (ValueError(), 'ValueError'),
    (PermissionError(13, 'Permission denied', 'a.png'), 'Permission denied'),
  ],
)
def test_reasons_are_one_line_without_the_name_of_the_file(error, expected):
  assert worker.reason(error) == expected


def test_rate_on_one_core():
  """A bound that a busy machine keeps; benchmarks/data.py measures."""
  images = formats.random_images(500)
  contents = [formats.encode(image, 'JPEG', quality=90) for image in images]
  decoded = np.empty_like(images)
  best = 0.0
  for _ in range(5):
    start = time.process_time()
    errors, _ = decode_chunk(decoded, contents, 0)
    best = max(best, len(contents) / (time.process_time() - start))
  assert not errors
  assert best > 1500
