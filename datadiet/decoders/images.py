"""Decodes images of all kinds to RGB."""

import io
import warnings
from typing import NamedTuple, cast

import numpy as np
from PIL import ExifTags, Image, ImageColor

# JPEGs are decoded at a fraction of their size if that leaves this many times
# the pixels needed along each side.
_SHRINK_GAP = 2
# How images become squares: see `config.dataset.resize`.
RESIZES = ('squash', 'shorter_side', 'none')
# Bits a value that cameras and scanners store in 16.
DEPTHS = (8, 10, 12, 14, 16)
# A tag of TIFF files, and its value where 0 is white.
_PHOTOMETRIC, _WHITE_IS_ZERO = 262, 0
# Metadata blocks in which files store the orientation.
_MARKS = (b'Exif', b'eXIf', b'EXIF', b'exif', b'rientation')
# The marker of a JPEG after which its pixels come.
_START_OF_SCAN = 0xDA
# How to turn an image upright, by EXIF's orientation number.
_TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT,
  3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM,
  5: Image.Transpose.TRANSPOSE,
  6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE,
  8: Image.Transpose.ROTATE_90,
}


class Notes(NamedTuple):
  """Findings about a decoded image.

  Attributes:
    is_transparent: whether some pixel is transparent.
    has_frames: whether it is the first of several frames.
    has_bad_exif: whether its EXIF block cannot be read.
    maximum: the largest value of an image with 16 bits a pixel; else -1.
    shift: bits of such values that were dropped at their lower end.
    deep_colour: the largest value of the upper 8 bits of an image with 16 bits
      a colour, of which Pillow drops the others; else -1.
  """

  is_transparent: bool = False
  has_frames: bool = False
  has_bad_exif: bool = False
  maximum: int = -1
  shift: int = 0
  deep_colour: int = -1


def decode(
  content: str | bytes,
  image_size: int,
  background: str = 'white',
  mode: str = 'squash',
) -> tuple[np.ndarray, Notes]:
  """Decodes one image.

  Grey and palette images become RGB, transparent ones are laid on a
  background, and the orientation that a camera noted is applied. Of 16 bits a
  pixel as many lower ones are dropped as leave 8 that hold the image's maximum
  (`Notes.shift`).

  Args:
    content: a path, or the bytes of a file.
    image_size: height and width to resize to; 0 to leave the size.
    background: 'white', 'black' or '#rrggbb'.
    mode: of `RESIZES`.

  Returns:
    uint8[height, width, 3], and notes.

  Raises:
    Exception: of many kinds, if it cannot be read.
  """
  source = content if isinstance(content, str) else io.BytesIO(content)
  with warnings.catch_warnings():
    # Warnings about large pictures and odd metadata are ignored.
    warnings.simplefilter('ignore')
    image = Image.open(source)
  with image:
    if image_size and mode != 'none':
      image.draft(None, (_SHRINK_GAP * image_size,) * 2)
    has_frames = getattr(image, 'is_animated', False)
    is_deep_colour = _is_deep_colour(image)
    # TIFFs are turned by this; some PNGs have their EXIF block at the end.
    image.load()
    orientation, has_bad_exif = _orientation(image)
    rgb, notes = _to_rgb(image, background)
    if is_deep_colour:
      # Of the colours: a fourth channel is alpha.
      extrema = cast(tuple[tuple[int, int], ...], image.getextrema())
      brightest = max(high for _, high in extrema[:3])
      notes = notes._replace(deep_colour=brightest)
    if orientation in _TURNS:
      rgb = rgb.transpose(_TURNS[orientation])
    if image_size:
      rgb = _resize(rgb, image_size, mode)
    return np.asarray(rgb), notes._replace(
      has_frames=has_frames, has_bad_exif=has_bad_exif
    )


def _orientation(image: Image.Image) -> tuple[int, bool]:
  """The orientation by EXIF or XMP, and whether the EXIF block is bad."""
  try:
    return image.getexif().get(ExifTags.Base.Orientation, 1), False
  # A damaged block raises many errors; the pixels may still be fine.
  except Exception:
    return 1, True


def noted_orientation(content: bytes) -> int:
  """EXIF's orientation number; 1 (upright) if the file has none."""
  # Most files have no orientation, and need not be opened.
  metadata = _jpeg_metadata(content)
  if not any(mark in metadata for mark in _MARKS):
    return 1
  try:
    with Image.open(io.BytesIO(content)) as image:
      return _orientation(image)[0]
  # Unreadable images are reported where they are decoded.
  except Exception:
    return 1


def _jpeg_metadata(content: bytes) -> bytes:
  """What stands before the pixels of a JPEG; all of any other file."""
  position = 2 if content.startswith(b'\xff\xd8') else len(content)
  while position < len(content) and content[position] == 0xFF:
    marker = content[position + 1 : position + 4]
    if len(marker) < 3 or marker[0] in (0x00, 0xFF):
      break
    if marker[0] == _START_OF_SCAN:
      return content[:position]
    position += 2 + int.from_bytes(marker[1:], 'big')
  return content


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
  """Turns an image upright.

  Args:
    pixels: uint8[height, width, 1 or 3].
    orientation: EXIF's number.

  Returns:
    The image, of height and width or of width and height.
  """
  if orientation not in _TURNS:
    return pixels
  image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
  turned = np.asarray(image.transpose(_TURNS[orientation]))
  return turned.reshape(*turned.shape[:2], pixels.shape[-1])


def _is_deep_colour(image: Image.Image) -> bool:
  """Whether Pillow drops the lower 8 bits of each colour of an image."""
  options = [tile[3] for tile in getattr(image, 'tile', ())]
  return image.mode in ('RGB', 'RGBA', 'LA', 'CMYK') and any(
    ';16' in str(option) for option in options
  )


def _to_rgb(image: Image.Image, background: str) -> tuple[Image.Image, Notes]:
  if image.mode.startswith('I;16') or (
    # Pillow's mode for greys of a PGM file, which have up to 16 bits.
    image.mode == 'I' and image.format == 'PPM'
  ):
    return _shallow(image)
  if image.mode in ('I', 'F'):
    # The range of their values is not known.
    kind = 'integer' if image.mode == 'I' else 'floating-point'
    raise ValueError(f'it has 32-bit {kind} pixels; allowed: up to 16 bits')
  if not image.has_transparency_data:
    return image if image.mode == 'RGB' else image.convert('RGB'), Notes()
  with_alpha = image.convert('RGBA')
  alpha = with_alpha.getchannel('A')
  if alpha.getextrema()[0] == 255:
    return with_alpha.convert('RGB'), Notes()
  laid_on = Image.new('RGBA', image.size, ImageColor.getrgb(background))
  laid_on.alpha_composite(with_alpha)
  return laid_on.convert('RGB'), Notes(is_transparent=True)


def _shallow(image: Image.Image) -> tuple[Image.Image, Notes]:
  """An image of 16 bits a pixel in 8."""
  if 'transparency' in image.info:
    raise ValueError('it has 16 bits a pixel and a transparent one among them')
  # Pillow inverts such images of 8 bits alone.
  if getattr(image, 'tag_v2', {}).get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
    raise ValueError(
      'it has 16 bits a pixel of which 0 is white; save it so that 0 is black'
    )
  values = np.asarray(image).astype(np.int64)
  maximum = int(values.max(initial=0))
  shift = shift_for(maximum)
  grey = Image.fromarray((values >> shift).clip(0, 255).astype(np.uint8))
  return grey.convert('RGB'), Notes(maximum=maximum, shift=shift)


def shift_for(maximum: int) -> int:
  """Lower bits to drop so that values up to a maximum fit 8 bits."""
  bits = next(bits for bits in DEPTHS if maximum < 2**bits)
  return bits - 8


def _resize(image: Image.Image, image_size: int, mode: str) -> Image.Image:
  if image.size == (image_size, image_size):
    return image
  if mode == 'squash':
    return image.resize((image_size, image_size), Image.Resampling.BILINEAR)
  if mode == 'shorter_side':
    shorter = min(image.size)
    size = tuple(image_size * side // shorter for side in image.size)
    image = image.resize(cast(tuple[int, int], size), Image.Resampling.BILINEAR)
  width, height = image.size
  if min(width, height) < image_size:
    raise ValueError(
      f'it has {width}x{height} pixels, fewer than the '
      f'{image_size}x{image_size} that are cut out of it'
    )
  left, top = (width - image_size) // 2, (height - image_size) // 2
  return image.crop((left, top, left + image_size, top + image_size))


def resize(
  images: np.ndarray, image_size: int, mode: str = 'squash'
) -> np.ndarray:
  """Resizes decoded images in the same way as `decode`.

  Args:
    images: uint8[num, height, width, 1 or 3].
    image_size: height and width; 0 to leave the size.
    mode: of `RESIZES`.

  Returns:
    uint8[num, image_size, image_size, 1 or 3].
  """
  if not image_size or images.shape[1:3] == (image_size, image_size):
    return images
  channels = images.shape[-1]
  shape = (image_size, image_size, channels)
  resized = np.zeros((len(images), *shape), np.uint8)
  for position, pixels in enumerate(images):
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    pixels = np.asarray(_resize(image, image_size, mode))
    resized[position] = pixels.reshape(shape)
  return resized
