"""How alike two images are once one is laid over the other.

Copies of a photograph that went their own ways are shifted, cropped, mirrored,
recoloured, compressed. What stays is the fine structure: the correlation of
grey levels, less their surroundings, where the two fit best.
"""

import numpy as np
from scipy import ndimage

# Of the small grey copies: (pixels a side, of the part laid over the other,
# how much larger or smaller it may be shown there).
_Looks = tuple[int, int, tuple[float, ...]]
_COARSE: _Looks = (16, 12, (0.8, 0.9, 1.0, 1.12, 1.25))
_FINE: _Looks = (32, 22, (0.7, 0.77, 0.85, 0.92, 1.0, 1.09, 1.18, 1.3, 1.43))
# Surroundings: a Gaussian of this standard deviation, in pixels of EDGE.
_SURROUNDINGS = 2.0
_UNCERTAINTY = 4.0
# Pairs compared at once; bounds the memory.
_COARSE_BLOCK, _FINE_BLOCK = 1000, 200


def detail(grey: np.ndarray) -> np.ndarray:
  """Grey levels less those around: float32[N, EDGE, EDGE] of uint8."""
  result = np.empty(grey.shape, np.float32)
  for start in range(0, len(grey), _COARSE_BLOCK):
    block = grey[start : start + _COARSE_BLOCK].astype(np.float32)
    sigmas = (0, _SURROUNDINGS, _SURROUNDINGS)
    around = ndimage.gaussian_filter(block, sigmas, mode='nearest')
    result[start : start + _COARSE_BLOCK] = block - around
  return result


def halved(details: np.ndarray) -> np.ndarray:
  """Means of 2 by 2 pixels: float32[N, EDGE / 2, EDGE / 2]."""
  half = details.shape[1] // 2
  return details.reshape(len(details), half, 2, half, 2).mean((2, 4))


def coarse_distance(
  halves: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
  """A quick look at pairs: as `distance`, but for what is uncertain.

  Args:
    halves: of `halved`.
    first: int[P], positions of one image of each pair.
    second: int[P], of the other.
  """
  found = np.empty(len(first), np.float32)
  for start in range(0, len(first), _COARSE_BLOCK):
    block = slice(start, start + _COARSE_BLOCK)
    pair = halves[first[block]], halves[second[block]]
    found[block] = _gap(_best_correlation(*pair, _COARSE))
  return found


def distance(
  grey: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
  """A close look: the distance where the two fit best, float32[P], 0 if equal.

  Of vectors of length 1, so that sqrt(2) is no relation. A few pixels that
  stand out from a flat ground, such as a far ship, correlate with any others:
  of n pixels that count, the distance is larger by 4 / sqrt(n).

  Args:
    grey: uint8[N, EDGE, EDGE].
    first: int[P], positions of one image of each pair.
    second: int[P], of the other.
  """
  found = np.empty(len(first), np.float32)
  for start in range(0, len(first), _FINE_BLOCK):
    block = slice(start, start + _FINE_BLOCK)
    pair = detail(grey[first[block]]), detail(grey[second[block]])
    counted = np.minimum(*map(_pixels_that_count, pair))
    gap = _gap(_best_correlation(*pair, _FINE))
    found[block] = gap * (1 + _UNCERTAINTY / np.sqrt(counted))
  return found


def _gap(correlation: np.ndarray) -> np.ndarray:
  """Between vectors of length 1 with that product."""
  return np.sqrt(np.maximum(2 - 2 * correlation, 0))


def _pixels_that_count(details: np.ndarray) -> np.ndarray:
  """(sum x^2)^2 / sum x^4, the participation ratio: float32[P], at least 1."""
  squares = np.square(details.reshape(len(details), -1))
  fourths = np.maximum(np.square(squares).sum(1), 1e-6)
  return np.maximum(np.square(squares.sum(1)) / fourths, 1)


def _best_correlation(
  first: np.ndarray,
  second: np.ndarray,
  looks: _Looks,
) -> np.ndarray:
  """Of the middle of the first with any place of the second, float32[P]."""
  edge, window, scales = looks
  templates = _unit(_templates(first, edge, window, scales))
  places = np.lib.stride_tricks.sliding_window_view(
    second, (window, window), axis=(1, 2)
  )
  places = _unit(places.reshape(len(second), -1, window**2))
  return np.matmul(places, templates.transpose(0, 2, 1)).max((1, 2))


def _templates(
  images: np.ndarray, edge: int, window: int, scales: tuple[float, ...]
) -> np.ndarray:
  """The middle of images at each scale, as it is and mirrored.

  Returns:
    float32[P, 2 * len(scales), window^2].
  """
  found = []
  for scale in scales:
    middle = (edge - 1) / 2
    place = middle + (np.arange(window) - (window - 1) / 2) * scale
    low = np.clip(np.floor(place).astype(int), 0, edge - 2)
    share = (place - low).astype(np.float32)
    rows = images[:, low] * (1 - share)[:, None]
    rows += images[:, low + 1] * share[:, None]
    middle_part = rows[:, :, low] * (1 - share) + rows[:, :, low + 1] * share
    found += [middle_part, middle_part[:, :, ::-1]]
  return np.stack(found, 1).reshape(len(images), len(found), -1)


def _unit(rows: np.ndarray) -> np.ndarray:
  """Rows without their mean, of length 1; flat ones stay about 0."""
  rows = rows - rows.mean(-1, keepdims=True)
  lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
  return rows / np.maximum(lengths, 1e-3)
