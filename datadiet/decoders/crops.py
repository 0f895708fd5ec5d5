"""Random rectangles of images, cut out of files as they are decoded."""

import functools
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datadiet.decoders.images import decode, noted_orientation, turn

# Rectangles that are drawn for a crop, of which some do not fit.
NUM_DRAWS = 10
# JPEGs are decoded at one of these fractions of their size.
_SHRINKS = (8, 4, 2, 1)
# Colours of JPEGs that are decoded here; Pillow decodes the others.
_COLOURS = ('YCbCr', 'GRAY', 'RGB')
# From this orientation on an image lies on its side (EXIF).
_ON_ITS_SIDE = 5


class Crops(NamedTuple):
  """What rectangles to cut out of images.

  Attributes:
    seeds: uint64[...], one an image, from which its rectangle follows.
    size: height and width to which they are resized.
    min_area: the smallest share of an image.
  """

  seeds: Any
  size: int
  min_area: float


def rectangles(
  draws: Any, height: float, width: float, min_area: float, array: Any = np
) -> tuple[Any, Any]:
  """Random rectangles: of any size and place, of a shape from 3:4 to 4:3.

  The area is uniform and the logarithm of the shape too; of all draws for an
  image the first that fits is taken, else the whole image (Szegedy et al. 2014,
  arXiv 1409.4842).

  Args:
    draws: [..., NUM_DRAWS, 4], uniform in [0, 1).
    height: of the images, in pixels.
    width: of the images, in pixels.
    min_area: the smallest share of an image.
    array: the module of the arrays, numpy or jax.numpy.

  Returns:
    The top left corners and the sizes, each [..., 2], height first.
  """
  area = height * width * (min_area + (1.0 - min_area) * draws[..., 0])
  shape = array.exp((2.0 * draws[..., 1] - 1.0) * array.log(4.0 / 3.0))
  tall, wide = array.sqrt(area / shape), array.sqrt(area * shape)
  fits = (tall <= height) & (wide <= width)
  chosen = array.argmax(fits, -1)[..., None]
  tall, wide, down, right = (
    array.take_along_axis(values, chosen, -1)[..., 0]
    for values in (tall, wide, draws[..., 2], draws[..., 3])
  )
  tall = array.where(fits.any(-1), tall, height)
  wide = array.where(fits.any(-1), wide, width)
  corner = array.stack([(height - tall) * down, (width - wide) * right], -1)
  return corner, array.stack([tall, wide], -1)


def crop(
  content: str | bytes, crops: Crops, number: int, background: str = 'white'
) -> np.ndarray:
  """Cuts a random rectangle out of an image, resizes and may mirror it.

  JPEGs are decoded at the fraction of their size that leaves enough pixels.
  What is left to do is bilinear without smoothing, which takes a quarter of the
  time of means of areas; these are taken where it halves the sides or more.

  Args:
    content: a path, or the bytes of a file.
    crops: the rectangles of some images.
    number: which of them is this one's.
    background: see `images.decode`.

  Returns:
    uint8[size, size, 3], left and right changed half of the time.

  Raises:
    Exception: of many kinds, if it cannot be read.
  """
  if isinstance(content, str):
    content = Path(content).read_bytes()
  draws, is_mirrored = draw(int(crops.seeds[number]))
  if jpeg := _Jpeg.of(content):
    height, width = jpeg.upright
  else:
    pixels = decode(content, 0, background)[0]
    height, width = pixels.shape[:2]
  corner, size = rectangles(draws, height, width, crops.min_area)
  if jpeg:
    pixels = jpeg.decoded(content, size.min() / crops.size)
  sides = np.array(pixels.shape[:2])
  scale = sides / (height, width)
  # At least one pixel, of images that have few.
  first = np.minimum(np.round(corner * scale), sides - 1).astype(int)
  last = np.maximum(np.round((corner + size) * scale), first + 1).astype(int)
  kept = pixels[first[0] : last[0], first[1] : last[1]]
  return _resized(kept, crops.size, is_mirrored)


def draw(seed: int) -> tuple[np.ndarray, bool]:
  """Of one image: float64[NUM_DRAWS, 4], and whether it is mirrored."""
  # A generator that costs less to make than numpy's usual one.
  rng = np.random.Generator(np.random.Philox(key=seed))
  return rng.random((NUM_DRAWS, 4)), rng.random() < 0.5


class _Jpeg(NamedTuple):
  """A JPEG of colours that need no conversion: its size and orientation."""

  height: int
  width: int
  orientation: int

  @classmethod
  def of(cls, content: bytes) -> '_Jpeg | None':
    """None if it is no such file."""
    import simplejpeg

    try:
      height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
    except ValueError:
      return None
    if colours not in _COLOURS:
      return None
    return cls(height, width, noted_orientation(content))

  @property
  def upright(self) -> tuple[int, int]:
    """Height and width, turned as the orientation says."""
    if self.orientation < _ON_ITS_SIDE:
      return self.height, self.width
    return self.width, self.height

  def decoded(self, content: bytes, shrink: float) -> np.ndarray:
    """Its pixels, upright, of sides at most `shrink` times smaller."""
    import simplejpeg

    factor = next((n for n in _SHRINKS if n <= shrink), 1)
    try:
      pixels = simplejpeg.decode_jpeg(
        content,
        min_height=-(-self.height // factor),
        min_width=-(-self.width // factor),
      )
    except ValueError:
      # Pillow, by which it was checked, bears with more damage.
      return decode(content, 0)[0]
    return turn(pixels, self.orientation)


def _resized(pixels: np.ndarray, size: int, mirror: bool) -> np.ndarray:
  cv2 = _opencv()
  is_halved = min(pixels.shape[:2]) >= 2 * size
  way = cv2.INTER_AREA if is_halved else cv2.INTER_LINEAR
  resized = cv2.resize(pixels, (size, size), interpolation=way)
  return cv2.flip(resized, 1) if mirror else resized


@functools.cache
def _opencv() -> Any:
  import cv2

  # One process a core decodes; threads of its own would only be in the way.
  cv2.setNumThreads(1)
  return cv2
