"""What a process that decodes images does; it runs until its stdin closes."""

import errno
import math
import mmap
import os
import pickle
import signal
import sys
from collections.abc import Sequence

import numpy as np
from PIL import Image

from datadiet.decoders.crops import Crops, crop
from datadiet.decoders.images import Notes, decode

# What can be wrong with an image: its content, its size, or that the system
# does not allow reading it, which says nothing about its content.
UNREADABLE, OTHER_SIZE, NOT_READ = 'unreadable', 'other size', 'not read'


def decode_chunk(
  images: np.ndarray,
  contents: Sequence[str | bytes],
  image_size: int,
  background: str = 'white',
  mode: str = 'squash',
  crops: Crops | None = None,
) -> tuple[list[tuple[int, str, str]], list[tuple[int, Notes]]]:
  """Decodes images that must all have one size, whole or rectangles of them.

  Args:
    images: uint8[num, height, width, 3], is filled.
    contents: a path or the bytes of a file each.
    image_size: height and width to resize to; 0 to leave the size.
    background: see `decode`.
    mode: see `decode`.
    crops: random rectangles to cut out of them, one seed an image, instead of
      resizing to `image_size` by `mode`; None to decode whole images.

  Returns:
    What went wrong: position, UNREADABLE, NOT_READ or OTHER_SIZE, and a reason,
    the image being black; and positions' `Notes` of which there is any to make.
  """
  errors, all_notes = [], []
  for position, content in enumerate(contents):
    images[position] = 0
    try:
      if crops is None:
        image, notes = decode(content, image_size, background, mode)
      else:
        image, notes = crop(content, crops, position, background), Notes()
    # Broken files make Pillow raise OSError, SyntaxError, ValueError, struct's
    # and zlib's errors and its own; each is told to the user.
    except Exception as error:
      errors.append((position, kind(error), reason(error)))
      continue
    height, width, _ = image.shape
    if image.shape != images.shape[1:]:
      errors.append((position, OTHER_SIZE, f'{width}x{height}'))
      continue
    images[position] = image
    if notes != Notes():
      all_notes.append((position, notes))
  return errors, all_notes


def kind(error: Exception) -> str:
  """Whether an image is damaged or missing, or the system cannot read it."""
  if isinstance(error, ImportError | MemoryError):
    return NOT_READ
  # Pillow's own errors of damaged files have no number.
  number = error.errno if isinstance(error, OSError) else None
  missing = (None, errno.ENOENT, errno.ELOOP, errno.ENOTDIR)
  return UNREADABLE if number in missing else NOT_READ


def reason(error: Exception) -> str:
  """Why an image cannot be read, without the name of the file."""
  if isinstance(error, Image.UnidentifiedImageError):
    return 'not an image of a known format'
  if isinstance(error, Image.DecompressionBombError):
    limit = Image.MAX_IMAGE_PIXELS or 0  # With None it raises no such error.
    return (
      f'it has more than {2 * limit:,} pixels, where Pillow '
      'suspects an attack: save it smaller'
    )
  if isinstance(error, OSError) and error.strerror:
    return error.strerror
  return str(error).splitlines()[0] if str(error) else type(error).__name__


def serve(shared: int) -> None:
  """Answers requests on stdin, each as `decode_chunk` does, on stdout.

  A request is the shape of the images, and the other arguments.

  Args:
    shared: the descriptor of a file, large enough for any request: it starts
      with the images, followed by contents of which a request has the lengths.
  """
  # The parent handles stops; when it ends, stdin closes.
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)
  requests = sys.stdin.buffer
  replies = os.fdopen(os.dup(1), 'wb')
  # Output printed by libraries must not mix with the replies.
  os.dup2(2, 1)
  memory = np.empty(0, np.uint8)
  while True:
    try:
      shape, contents, *options = pickle.load(requests)
    except EOFError:
      return
    end = math.prod(shape)
    needed = end + sum(one for one in contents if isinstance(one, int))
    # Mapped anew only when it grows: first touches of pages are slow.
    if len(memory) < needed:
      memory = np.frombuffer(mmap.mmap(shared, 0), np.uint8)
    images = memory[:end].reshape(shape)
    for position, length in enumerate(contents):
      if isinstance(length, int):
        contents[position] = memory[end : end + length].tobytes()
        end += length
    pickle.dump(
      decode_chunk(images, contents, *options), replies, pickle.HIGHEST_PROTOCOL
    )
    replies.flush()
