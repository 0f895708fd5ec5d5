"""Images of poor quality: dark, blurred, empty, odd in size, grey, framed.

The measures are those of cleanvision (github.com/cleanlab/cleanvision) where it
has them. That library is no dependency: it brings matplotlib, imagehash, fsspec
pins and a data set class of its own for a few lines of numpy, reads files
rather than arrays, and knows neither borders nor these thresholds.
"""

from collections.abc import Mapping

import numpy as np

# A measure is over 0.5 where an image is flagged; this is what it is at 0.5.
# Grey levels of 255, of the brightest and the darkest 1 %.
_DARK_BELOW, _BRIGHT_ABOVE = 80.0, 190.0
# The steepest steps as a share of the range; see `pixels.PixelFacts`.
_BLURRED_BELOW = 0.2
# Bits, of 8.
_EMPTY_BELOW = 2.5
_GREY_BELOW = 2.0  # The mean difference of channels.
_BORDER_ABOVE = 0.25
# Of the ratio of the sides; and how many times larger or smaller than the
# median image, by the square root of the area.
_LONG_ABOVE, _SIZE_ABOVE = 3.0, 4.0
FLAGGED = 0.5
# The share of images from which on a fault is none, but what this data set is
# like: grey photographs are among the coloured ones of many.
_MANY, _MANY_GREY = 0.05, 0.01


def measures(
  properties: Mapping[str, np.ndarray], sizes: np.ndarray | None = None
) -> dict[str, np.ndarray]:
  """How bad images are in each respect: name -> float32[N], 0 to 1.

  Above `FLAGGED` they are bad; none is where very many would be.

  Args:
    properties: of `pixels.read_facts`.
    sizes: int[N, 2], width and height of the files that images are from, where
      that is known.
  """
  found = {
    'dark': _below(properties['bright_end'], _DARK_BELOW),
    'bright': _below(255 - properties['dark_end'], 255 - _BRIGHT_ABOVE),
    'blurry': _below(properties['sharpness'], _BLURRED_BELOW),
    'low_information': _below(properties['entropy'], _EMPTY_BELOW),
    'grey': _below(properties['chroma'], _GREY_BELOW),
    'border': 1 - _below(properties['border'], _BORDER_ABOVE),
  }
  if sizes is not None:
    sides = np.maximum(sizes, 1).astype(np.float64)
    ratio = sides.max(1) / sides.min(1)
    found['odd_aspect_ratio'] = 1 - _below(ratio - 1, _LONG_ABOVE - 1)
    scale = np.sqrt(sides.prod(1))
    times = np.abs(np.log2(scale / np.median(scale)))
    found['odd_size'] = 1 - _below(times, np.log2(_SIZE_ABOVE))
  for name, value in found.items():
    many = _MANY_GREY if name == 'grey' else _MANY
    if (value > FLAGGED).mean() > many:
      value = np.minimum(value, FLAGGED)
    found[name] = value.astype(np.float32)
  return found


def _below(values: np.ndarray, limit: float) -> np.ndarray:
  """1 at 0, FLAGGED at the limit, towards 0 above: limit / (limit + value)."""
  return limit / (limit + np.maximum(values, 0))
