"""Packs thumbnails of all examples into sprite sheets of a given total size."""

import dataclasses
import io
from typing import Any

import numpy as np
from PIL import Image

_TILES = 16  # Sheets are this many thumbnails wide and high.
TILES_PER_SHEET = _TILES * _TILES
_MAX_EDGE = 64
# JPEG codes blocks of this many pixels: images that share one would blur. Black
# padding between them bleeds less than repeating their edges (measured).
_JPEG_BLOCK = 16
# Few enough that large ones fit in memory.
_READ_AT_ONCE = 32
_SAMPLE_SHEETS = 4
# (longest edge in pixels, quality; 0 for lossless), the best first.
_CODINGS = (
  (_MAX_EDGE, 0),
  (_MAX_EDGE, 85),
  (_MAX_EDGE, 70),
  (_MAX_EDGE, 50),
  (48, 70),
  (48, 50),
  (32, 70),
  (32, 50),
  (24, 50),
)


@dataclasses.dataclass(frozen=True)
class Thumbnails:
  """Sprite sheets, and where each example is in them.

  Attributes:
    sheets: image files; each has `_TILES` rows and columns.
    mime_type: of the sheets.
    quality: of the coding, in percent; 0 for lossless.
    width: of a thumbnail, in pixels.
    height: likewise.
    stride: from one thumbnail to the next, (width, height).
    slot: int32[N], the place of an example's thumbnail, counted through all
      sheets row by row; -1 if it was left out.
  """

  sheets: list[bytes]
  mime_type: str
  quality: int
  width: int
  height: int
  stride: tuple[int, int]
  slot: np.ndarray

  @property
  def num_left_out(self) -> int:
    """How many examples have no thumbnail."""
    return int((self.slot < 0).sum())

  def description(self) -> dict[str, Any]:
    """The fields by which the page finds each thumbnail; JSON-able."""
    return {
      'mime_type': self.mime_type,
      'width': self.width,
      'height': self.height,
      'stride': self.stride,
      'tiles': _TILES,
      'num_sheets': len(self.sheets),
      'num_left_out': self.num_left_out,
    }


def make_thumbnails(
  images: np.ndarray, order: np.ndarray, max_bytes: int
) -> Thumbnails:
  """Makes thumbnails as good as the size allows.

  Args:
    images: uint8[N, height, width, channels].
    order: int64[N], all example indices by score: neighbours are shown
      together, so they go to the same sheet. If not all fit, those at both
      ends and every n-th between are kept.
    max_bytes: for all sheets together.
  """
  sample = order[np.linspace(0, len(order) - 1, 1024).astype(int)]
  sample = np.unique(sample)[: _SAMPLE_SHEETS * TILES_PER_SHEET]
  native = max(images.shape[1:3])
  for edge, quality in _CODINGS:
    if min(native, _MAX_EDGE) < edge < _MAX_EDGE:
      continue  # Never larger than the images are.
    needed = _bytes_per_image(images, sample, edge, quality) * len(order)
    if needed <= 0.98 * max_bytes:
      chosen = order
      break
  else:
    # The last coding is the smallest that is still recognizable.
    capacity = int(0.9 * max_bytes * len(order) / needed)
    chosen = _representatives(order, capacity)
  sheets = []
  for start in range(0, len(chosen), TILES_PER_SHEET):
    members = chosen[start : start + TILES_PER_SHEET]
    sheets.append(_encode_sheet(images, members, edge, quality))
  slot = np.full(len(images), -1, np.int32)
  slot[chosen] = np.arange(len(chosen))
  width, height = _size(images.shape, edge)
  return Thumbnails(
    sheets=sheets,
    mime_type='image/jpeg' if quality else 'image/png',
    quality=quality,
    width=width,
    height=height,
    stride=_stride(width, height, quality),
    slot=slot,
  )


def _representatives(order: np.ndarray, capacity: int) -> np.ndarray:
  """`capacity` of the examples: both ends, evenly spaced ones between."""
  end = capacity // 3
  if capacity < 3:
    return order[:capacity]
  between = np.linspace(end, len(order) - end - 1, capacity - 2 * end)
  return np.concatenate(
    [order[:end], order[between.astype(int)], order[len(order) - end :]]
  )


def _size(shape: tuple[int, ...], edge: int) -> tuple[int, int]:
  """(width, height) of thumbnails; images are not enlarged."""
  height, width = shape[1:3]
  scale = min(1.0, edge / max(height, width))
  return max(1, round(width * scale)), max(1, round(height * scale))


def _stride(width: int, height: int, quality: int) -> tuple[int, int]:
  if not quality:
    return width, height
  width, height = (
    -(-side // _JPEG_BLOCK) * _JPEG_BLOCK for side in (width, height)
  )
  return width, height


def _bytes_per_image(
  images: np.ndarray, sample: np.ndarray, edge: int, quality: int
) -> float:
  total = 0
  for start in range(0, len(sample), TILES_PER_SHEET):
    members = sample[start : start + TILES_PER_SHEET]
    total += len(_encode_sheet(images, members, edge, quality))
  return total / len(sample)


def _encode_sheet(
  images: np.ndarray, members: np.ndarray, edge: int, quality: int
) -> bytes:
  width, height = _size(images.shape, edge)
  stride_x, stride_y = _stride(width, height, quality)
  rows = -(-len(members) // _TILES)
  channels = 3 if images.shape[-1] >= 3 else 1
  sheet = np.zeros((rows * stride_y, _TILES * stride_x, channels), np.uint8)
  for start in range(0, len(members), _READ_AT_ONCE):
    # Together: those that are stored encoded are decoded side by side.
    found = images[members[start : start + _READ_AT_ONCE]]
    for position, image in enumerate(found[..., :channels], start):
      tile = _thumbnail(image, width, height)
      top, left = position // _TILES * stride_y, position % _TILES * stride_x
      sheet[top : top + height, left : left + width] = tile
  image = Image.fromarray(sheet if channels == 3 else sheet[..., 0])
  buffer = io.BytesIO()
  if quality:
    image.save(buffer, 'JPEG', quality=quality, optimize=True)
  else:
    image.save(buffer, 'PNG')
  return buffer.getvalue()


def _thumbnail(image: np.ndarray, width: int, height: int) -> np.ndarray:
  if image.shape[:2] == (height, width):
    return image
  picture = Image.fromarray(image if image.shape[-1] == 3 else image[..., 0])
  small = np.asarray(picture.resize((width, height), Image.Resampling.BOX))
  return small.reshape(height, width, image.shape[-1])
