"""Encoded images in one indexed file, decoded when they are asked for.

The file is an ArrayRecord, a record an image; what is decoded is bitwise what
`decoding` would have put into an array.
"""

import atexit
import contextlib
import functools
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from datadiet.decoders import pool
from datadiet.decoders.crops import Crops
from datadiet.decoders.worker import UNREADABLE
from datadiet.errors import DataDietError
from datadiet.runtime import extras

# Files end so; `cache` tells by it what it holds.
ENDING = 'array_record'
# A record a group: images are read one by one. A reader without threads of its
# own costs little memory; threads here read and decode side by side. Workers do
# not read: each process that does has 64 threads more, of the library.
_WRITER_OPTIONS = 'group_size:1'
_READER_OPTIONS = 'readahead_buffer_size:0,max_parallelism:0'
_THREADS = threading.local()
_START = threading.Lock()
_PACK_ANEW = 'delete the folder to have it packed anew'
# Images that a worker decodes at a time: few, so that none waits for the last.
_CHUNK = 8


class PackedImages:
  """Images of a split, like a uint8[num, height, width, 3] that is read only.

  Attributes:
    path: of the file.
    shape: (num, height, width, 3).
    options: how to decode, as `images.decode` takes them: image size,
      background, mode.
  """

  dtype = np.dtype(np.uint8)
  ndim = 4

  def __init__(self, path: str, shape: Sequence[int], options: Sequence[Any]):
    """Opens nothing yet."""
    self.path, self.shape, self.options = path, tuple(shape), tuple(options)

  def __len__(self) -> int:
    return self.shape[0]

  @property
  def nbytes(self) -> int:
    """Bytes of all the pixels."""
    return int(np.prod(self.shape, dtype=np.int64))

  def __getitem__(self, key: Any) -> np.ndarray:
    """Decodes some images, as an array's first index chooses them."""
    if isinstance(key, tuple):
      rest = key[1:]
      images = self[key[0]]
      rows = () if isinstance(key[0], int | np.integer) else (slice(None),)
      return images[(*rows, *rest)]
    # Not by indexing all positions: making those takes longer than one image.
    if isinstance(key, slice):
      return decoded(self, np.asarray(range(len(self))[key]))
    position = np.asarray(key)
    if position.dtype == bool:
      position = np.flatnonzero(position)
    position = np.where(position < 0, position + len(self), position)
    if ((position < 0) | (position >= len(self))).any():
      raise IndexError(f'{self.path} has {len(self)} images, not {key}')
    return decoded(self, position)

  def __array__(self, dtype: Any = None, copy: bool | None = None):
    """All of them, where they fit in memory."""
    del copy
    return self[:].astype(dtype or np.uint8, copy=False)


class PackedWriter:
  """Writes a `PackedImages`, image after image."""

  def __init__(self, path: str, shape: Sequence[int], options: Sequence[Any]):
    """Creates the file, and its folder.

    Args:
      path: of the file.
      shape: of the images, of which fewer may come.
      options: see `PackedImages`.

    Raises:
      MissingLibraryError: if ArrayRecord is not installed.
      DataDietError: if the folder cannot be made.
    """
    self._of = (path, shape, options)
    self._position, self._num = -1, 0
    library = _array_record()
    with _writing(path):
      os.makedirs(os.path.dirname(path), exist_ok=True)
      self._writer = library.ArrayRecordWriter(path, _WRITER_OPTIONS)

  def append(self, position: int, content: str | bytes) -> None:
    """Adds the next image.

    Args:
      position: its row in the listing; must rise.
      content: a path, or the bytes of a file.

    Raises:
      DataDietError: if images came out of order, or an earlier one could not
        be written.
    """
    if position <= self._position:
      raise DataDietError(
        f'{self._of[0]}: row {position} came after row {self._position}; a '
        'source has to give images in their order to be packed'
      )
    if isinstance(content, str):
      with open(content, 'rb') as file:
        content = file.read()
    with _writing(self._of[0]):
      self._writer.write(content)
    self._position, self._num = position, self._num + 1

  def finish(self) -> PackedImages:
    """Closes the file and gives what it holds.

    Raises:
      DataDietError: if not all could be written.
    """
    path, shape, options = self._of
    with _writing(path):
      self._writer.close()
    return PackedImages(path, (self._num, *shape[1:]), options)


@contextlib.contextmanager
def _writing(path: str) -> Iterator[None]:
  """Tells in one sentence why a file cannot be written."""
  try:
    yield
  # ArrayRecord raises RuntimeError, whatever was wrong.
  except (OSError, RuntimeError) as error:
    reason = getattr(error, 'strerror', None) or str(error).split(';')[0]
    raise DataDietError(
      f'{path} cannot be written ({reason}); free space, or name another local '
      'folder by config.dataset.cache_dir'
    ) from error


def decoded(images: PackedImages, position: np.ndarray) -> np.ndarray:
  """Decodes images in parallel, each once however often it is asked for.

  Args:
    images: of a split.
    position: int[...], rows.

  Returns:
    uint8[..., height, width, 3].

  Raises:
    DataDietError: if one cannot be read, which it could when it was packed.
  """
  position = np.asarray(position)
  rows, places = np.unique(position.reshape(-1), return_inverse=True)
  found = _read(images, rows, images.shape[1:])
  return found[places].reshape(*position.shape, *images.shape[1:])


def cropped(
  images: PackedImages, position: np.ndarray, crops: Crops
) -> np.ndarray:
  """Cuts a random rectangle out of each image, in parallel.

  Args:
    images: of a split.
    position: int[...], rows.
    crops: with seeds of the same shape.

  Returns:
    uint8[..., size, size, 3].

  Raises:
    DataDietError: as `decoded`.
  """
  rows, seeds = np.ravel(position), np.ravel(crops.seeds)
  shape = (crops.size, crops.size, 3)
  found = _read(images, rows, shape, crops._replace(seeds=seeds))
  return found.reshape(*np.shape(position), *shape)


def _read(
  images: PackedImages,
  rows: np.ndarray,
  shape: tuple[int, ...],
  crops: Crops | None = None,
) -> np.ndarray:
  """Some images, uint8[num, *shape], decoded by all workers."""
  decode, threads = _decoders()
  found = np.empty((len(rows), *shape), np.uint8)

  def work(start: int) -> None:
    part = slice(start, start + _CHUNK)
    contents = _contents(images.path, rows[part].tolist())
    options = images.options
    if crops is not None:
      options = *options, crops._replace(seeds=crops.seeds[part])
    errors, _ = decode(found[part], contents, *options)
    for row, kind, reason in errors:
      # What the system or a library refuses, packing anew does not cure.
      advice = f'; {_PACK_ANEW}' if kind == UNREADABLE else ''
      raise DataDietError(
        f'{images.path}: the image with example_index {rows[part][row]} cannot '
        f'be decoded any more ({reason}){advice}'
      )

  if len(rows) <= _CHUNK:
    work(0)
  else:
    list(threads.map(work, range(0, len(rows), _CHUNK)))
  return found


def _decoders() -> tuple[Any, ThreadPoolExecutor]:
  """`decode_chunk` in worker processes, and a thread for each of them."""
  # Two first callers would start workers of their own.
  with _START:
    return _start_decoders()


@functools.cache
def _start_decoders() -> tuple[Any, ThreadPoolExecutor]:
  _array_record()
  num_workers = pool.num_cores()
  stack = contextlib.ExitStack()
  decode = stack.enter_context(pool.decoders(num_workers))
  threads = ThreadPoolExecutor(num_workers, 'decode')
  stack.callback(threads.shutdown, cancel_futures=True)
  atexit.register(stack.close)
  return decode, threads


def _contents(path: str, rows: list[int]) -> list[bytes]:
  """Some records of a file as it is now, by a reader of this thread alone."""
  readers = _THREADS.__dict__.setdefault('readers', {})
  found = os.stat(path)
  version = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)
  if readers.get(path, (None,))[0] != version:
    reader = _array_record().ArrayRecordReader(path, _READER_OPTIONS)
    readers[path] = version, reader
  try:
    return readers[path][1].read(rows)
  # The library's errors of damaged files are of several kinds.
  except Exception as error:
    readers.pop(path)
    raise DataDietError(
      f'{path} cannot be read any more ({error}); {_PACK_ANEW}'
    ) from error


def _array_record() -> Any:
  extras.require("config.dataset.placement='stream'", 'array_record')
  from array_record.python import array_record_module

  return array_record_module


def path_in(folder: str | os.PathLike, split_name: str) -> str:
  """The file of a split in a folder of the cache."""
  return os.path.join(os.fspath(folder), f'{split_name}_images.{ENDING}')
