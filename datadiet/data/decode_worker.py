"""Decodes images to RGB; also a process of its own that does so on request.

`datadiet.data.decoding` starts it as a script, so it imports nothing of the
project: a worker starts in a fraction of a second, without JAX, and serves
callers whose main module cannot be imported again.
"""

import io
import os
import pickle
import signal
import sys

import numpy as np
from PIL import Image, ImageOps

UNREADABLE, OTHER_SIZE = 'unreadable', 'other size'
# JPEGs are decoded at a fraction of their size if that leaves this many times
# the pixels needed along each side.
_SHRINK_GAP = 2


def decode(content: str | bytes, image_size: int) -> np.ndarray:
  """Decodes one image.

  Grey, palette and 16-bit images become RGB, an alpha channel is dropped, and
  the orientation that a camera noted is applied.

  Args:
    content: a path, or the bytes of a file.
    image_size: height and width to resize to; 0 to leave the size.

  Returns:
    uint8[height, width, 3].

  Raises:
    Exception: of many kinds, if it cannot be read.
  """
  source = content if isinstance(content, str) else io.BytesIO(content)
  with Image.open(source) as image:
    if image_size:
      image.draft(None, (_SHRINK_GAP * image_size,) * 2)
    if 'exif' in image.info:
      image = ImageOps.exif_transpose(image)
    image = _to_rgb(image)
    if image_size:
      image = _resize(image, image_size)
    return np.asarray(image)


def _to_rgb(image: Image.Image) -> Image.Image:
  if image.mode == 'RGB':
    return image
  if image.mode in ('I', 'F'):
    # Their range is not known: what is white is for somebody to say.
    kind = 'integer' if image.mode == 'I' else 'floating-point'
    raise ValueError(f'it has 32-bit {kind} pixels; allowed: up to 16 bits')
  if image.mode.startswith('I;16'):
    # 16 bits a pixel, which Pillow would clip at 255.
    values = np.asarray(image).astype(np.int64) >> 8
    return Image.fromarray(values.clip(0, 255).astype(np.uint8)).convert('RGB')
  if 'transparency' in image.info:
    image = image.convert('RGBA')
  return image.convert('RGB')


def _resize(image: Image.Image, image_size: int) -> Image.Image:
  if image.size == (image_size, image_size):
    return image
  return image.resize((image_size, image_size), Image.Resampling.BILINEAR)


def resize(images: np.ndarray, image_size: int) -> np.ndarray:
  """Resizes decoded images like `decode` does.

  Args:
    images: uint8[num, height, width, 1 or 3].
    image_size: height and width; 0 to leave the size.

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
    resized[position] = np.asarray(_resize(image, image_size)).reshape(shape)
  return resized


def decode_chunk(
  contents: list[str | bytes], height: int, width: int, image_size: int
) -> tuple[np.ndarray, list[tuple[int, str, str]]]:
  """Decodes images that must all have one size.

  Args:
    contents: a path or the bytes of a file each.
    height: of the decoded images.
    width: likewise.
    image_size: height and width to resize to; 0 to leave the size.

  Returns:
    uint8[num, height, width, 3], and what went wrong: position, UNREADABLE or
    OTHER_SIZE, and a reason; the image is then black.
  """
  images = np.zeros((len(contents), height, width, 3), np.uint8)
  errors = []
  for position, content in enumerate(contents):
    try:
      image = decode(content, image_size)
    # Broken files make Pillow raise OSError, SyntaxError, ValueError, struct's
    # and zlib's errors and its own; each is told to the user.
    except Exception as error:
      errors.append((position, UNREADABLE, reason(error)))
      continue
    if image.shape == images.shape[1:]:
      images[position] = image
    else:
      found = f'{image.shape[1]}x{image.shape[0]}'
      errors.append((position, OTHER_SIZE, found))
  return images, errors


def reason(error: Exception) -> str:
  """Why an image cannot be read, without the name of the file."""
  if isinstance(error, Image.UnidentifiedImageError):
    return 'not an image of a known format'
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  return str(error).splitlines()[0] if str(error) else type(error).__name__


def serve() -> None:
  """Answers requests on stdin, each the arguments of `decode_chunk`."""
  # A stop is the parent's affair; its end closes stdin.
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
  requests = sys.stdin.buffer
  replies = os.fdopen(os.dup(1), 'wb')
  # What a library prints must not get between the replies.
  os.dup2(2, 1)
  while True:
    try:
      request = pickle.load(requests)
    except EOFError:
      return
    pickle.dump(decode_chunk(*request), replies, pickle.HIGHEST_PROTOCOL)
    replies.flush()


if __name__ == '__main__':
  serve()
