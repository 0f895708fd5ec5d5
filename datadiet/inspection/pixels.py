"""What one pass over the images gives: digests, small grey copies, measures."""

import dataclasses
import hashlib

import numpy as np

from datadiet.data.pixels import chunks

# The small grey copies are this many pixels a side.
EDGE = 32
# Luma of red, green and blue (ITU-R BT.601).
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Images measured at once; bounds the memory.
_BLOCK = 1024
# Grey levels within which a row or column at the edge is of one colour.
_FLAT = 3.0


@dataclasses.dataclass(frozen=True)
class PixelFacts:
  """What is known of the pixels of N images.

  Attributes:
    digests: of the content, equal for equal images: bytes[N].
    grey: uint8[N, EDGE, EDGE], the image in grey, squeezed to a square.
    properties: name -> float32[N]: brightness and contrast (mean and standard
      deviation of grey levels, 0 to 255), dark_end and bright_end (their 1st
      and 99th percentile), entropy (of the grey levels, in bits), sharpness
      (the steepest step between neighbouring pixels, as a share of the range),
      chroma (mean difference of the largest and the smallest channel, 0 to
      255), border (share of the image in edges of one colour), red, green and
      blue (channel means).
  """

  digests: np.ndarray
  grey: np.ndarray
  properties: dict[str, np.ndarray]


def read_facts(images: np.ndarray) -> PixelFacts:
  """Reads all images once.

  Args:
    images: uint8[N, height, width, channels]; may not fit in memory.
  """
  digests: list[bytes] = []
  grey, properties = [], []
  for chunk in chunks(images):
    pixels = np.ascontiguousarray(chunk)
    digests.extend(
      hashlib.blake2b(image, digest_size=16).digest() for image in pixels
    )
    for start in range(0, len(pixels), _BLOCK):
      block = pixels[start : start + _BLOCK]
      levels = grey_levels(block)
      grey.append(np.rint(squeezed(levels)).astype(np.uint8))
      properties.append(_properties(block, levels))
  return PixelFacts(
    np.array(digests),
    np.concatenate(grey),
    {
      name: np.concatenate([found[name] for found in properties])
      for name in properties[0]
    },
  )


def grey_levels(images: np.ndarray) -> np.ndarray:
  """uint8[N, height, width, channels] -> float32[N, height, width]."""
  if images.shape[-1] == 3:
    return images.astype(np.float32) @ _LUMA
  return images.mean(-1, dtype=np.float32)


def squeezed(levels: np.ndarray, edge: int = EDGE) -> np.ndarray:
  """Images as squares: means where they are larger, repeated where smaller.

  Args:
    levels: float32[N, height, width].
    edge: pixels a side of the result.

  Returns:
    float32[N, edge, edge].
  """
  for axis in (1, 2):
    side = levels.shape[axis]
    starts = np.arange(edge) * side // edge
    if side < edge:
      levels = levels.take(starts, axis)
      continue
    sums = np.add.reduceat(levels, starts, axis=axis)
    sizes = np.diff([*starts, side]).astype(np.float32)
    levels = sums / (sizes[:, None] if axis == 1 else sizes)
  return levels


def _properties(
  images: np.ndarray, levels: np.ndarray
) -> dict[str, np.ndarray]:
  flat = levels.reshape(len(levels), -1)
  dark_end, bright_end = np.percentile(flat, [1, 99], axis=1)
  colours = images.mean((1, 2), dtype=np.float32)
  if images.shape[-1] == 3:
    spread = images.max(-1).astype(np.int16) - images.min(-1)
    chroma = spread.mean((1, 2), dtype=np.float32)
  else:
    chroma = np.zeros(len(images), np.float32)
    colours = np.repeat(colours[:, :1], 3, 1)
  found = {
    'brightness': flat.mean(1),
    'contrast': flat.std(1),
    'dark_end': dark_end,
    'bright_end': bright_end,
    'entropy': _entropy(flat),
    'sharpness': _sharpness(levels, bright_end - dark_end),
    'chroma': chroma,
    'border': _border(levels),
    **dict(zip(('red', 'green', 'blue'), colours.T, strict=True)),
  }
  return {name: value.astype(np.float32) for name, value in found.items()}


def _entropy(flat: np.ndarray) -> np.ndarray:
  """Of the distribution of grey levels, in bits, 0 to 8: float[N]."""
  num = len(flat)
  bins = np.arange(num)[:, None] * 256 + np.rint(flat).astype(np.int64)
  counts = np.bincount(bins.ravel(), minlength=256 * num).reshape(num, 256)
  shares = counts / flat.shape[1]
  logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
  return -(shares * logs).sum(1)


def _sharpness(levels: np.ndarray, value_range: np.ndarray) -> np.ndarray:
  """The steepest steps, but for 0.5 %, as a share of the range: float[N]."""
  steps = np.concatenate(
    [
      np.abs(np.diff(levels, axis=axis)).reshape(len(levels), -1)
      for axis in (1, 2)
    ],
    axis=1,
  )
  place = int(0.995 * (steps.shape[1] - 1))
  steep = np.partition(steps, place, axis=1)[:, place]
  return np.where(
    value_range > 2 * _FLAT, steep / np.maximum(value_range, 1), 1.0
  )


def _border(levels: np.ndarray) -> np.ndarray:
  """The share of the image in rows and columns at its edges of one colour."""
  height, width = levels.shape[1:]
  rows = _flat_ends(np.ptp(levels, axis=2))
  columns = _flat_ends(np.ptp(levels, axis=1))
  inside = (height - rows) * (width - columns)
  # Nothing but a border is an image of one colour, which low_information is.
  return np.where(inside > 0, 1 - inside / (height * width), 0.0)


def _flat_ends(ranges: np.ndarray) -> np.ndarray:
  """How many at both ends of each row are flat: int[N] of float[N, lines]."""
  varies = ranges > _FLAT
  first = np.where(varies.any(1), varies.argmax(1), varies.shape[1])
  last = np.where(varies.any(1), varies[:, ::-1].argmax(1), 0)
  return first + last
