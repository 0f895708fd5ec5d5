"""The cache: data sets as memory-mapped .npy files, or packed (`packed`).

The first read of a source decodes or packs it; later reads take the arrays from
`<cache_dir>/<name>-<key>/`, where the key says what was read (source, options,
and `identity` of its files), so that changed files are read anew. Nothing here
holds a split's pixels in memory.
"""

import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Literal

import numpy as np
from absl import logging
from etils import epath

from datadiet.data import packed
from datadiet.data.dataset import (
  Allocate,
  Dataset,
  Split,
  chunks,
  in_memory,
)
from datadiet.errors import ConfigError, DataDietError
from datadiet.runtime import stopping
from datadiet.workdir import artifacts, atomic, lock, storage

DEFAULT_CACHE_DIR = '~/.cache/datadiet'
# Increase it when the meaning of the cached arrays changes.
_FORMAT = 4
_SPLITS = ('train', 'test')
# Whether images are packed as they are, or whether they are to be where all
# have a height and a width, which a first read tells.
StaysEncoded = bool | Callable[[int, int], bool]


def cached(
  name: str,
  identity: dict,
  load: Callable[[Allocate], Dataset],
  cache_dir: str = '',
  stays_encoded: StaysEncoded = False,
) -> Dataset:
  """The data set in the cache, or what `load` decodes into it.

  Args:
    name: the data set's name, for the folder.
    identity: everything the arrays depend on, as JSON-able values.
    load: decodes the source, its images into arrays of the given allocator.
    cache_dir: '' for the default, 'none' for no cache at all.
    stays_encoded: see `StaysEncoded`; a function is asked where images are read
      into the cache, and nowhere else.

  Returns:
    The data set; its images are memory-mapped or `PackedImages`, read-only.

  Raises:
    ConfigError: if `cache_dir` is remote, where nothing can be mapped, or there
      is none to pack into.
  """
  if cache_dir == 'none':
    if stays_encoded is True:
      raise ConfigError(
        "config.dataset.cache_dir: 'none' is not allowed with "
        "dataset.placement='stream', which packs images into it; allowed: a "
        "local folder, or '' for ~/.cache/datadiet"
      )
    return load(in_memory)
  if storage.is_remote(cache_dir):
    raise ConfigError(
      f'config.dataset.cache_dir: {cache_dir} is remote; allowed: a local '
      "folder, '' for ~/.cache/datadiet, or 'none'"
    )
  folder = _folder_of(name, identity, cache_dir)
  dataset = _read_complete(folder)
  if dataset is not None:
    return dataset
  with _lock(folder) as locked:
    # Another process of this machine may have decoded it meanwhile.
    dataset = _read_complete(folder) if locked else None
    if dataset is not None:
      return dataset
    if locked:
      for left in atomic.temporaries_beside(folder):
        shutil.rmtree(left, ignore_errors=True)
    writer = _Writer(folder, stays_encoded)
    try:
      # Decoding ends its worker processes itself when it is asked to stop.
      with stopping.unsaved_work():
        dataset = load(writer.allocate)
        return writer.finish(dataset)
    finally:
      writer.clean_up()


def _folder_of(name: str, identity: dict, cache_dir: str) -> epath.Path:
  key = hashlib.sha256(
    json.dumps([_FORMAT, identity], sort_keys=True).encode()
  ).hexdigest()[:16]
  root = epath.Path(cache_dir or DEFAULT_CACHE_DIR).expanduser()
  return root / f'{name.replace("/", "_").replace(":", "_")}-{key}'


def scratch_folder(name: str, identity: dict, cache_dir: str) -> epath.Path:
  """A new folder for files that `load` of `cached` needs, and removes.

  If the process is killed, the next process that reads this data removes it.
  """
  if cache_dir != 'none':
    folder = atomic.temporary_beside(_folder_of(name, identity, cache_dir))
    # A full or read-only home must not stop somebody from working.
    with suppress(OSError):
      folder.mkdir(parents=True)
      return folder
  return epath.Path(tempfile.mkdtemp(prefix='datadiet-'))


class _Writer:
  """A cache folder in the making, under a temporary name."""

  def __init__(self, folder: epath.Path, stays_encoded: StaysEncoded):
    self._folder = folder
    self._stays_encoded = stays_encoded
    self._temporary = atomic.temporary_beside(folder)
    self._allocated: dict[str, np.memmap] = {}
    self._usable = True

  def allocate(
    self, split_name: str, shape: tuple[int, ...], options: tuple[Any, ...] = ()
  ) -> Any:
    """A memory-mapped uint8 array of zeros; in memory if the disk is full.

    A writer of encoded images, to be decoded with `options`, where they are to
    stay so.
    """
    if options and callable(self._stays_encoded):
      self._stays_encoded = self._stays_encoded(*shape[1:3])
    if self._stays_encoded and options:
      path = packed.path_in(self._temporary, split_name)
      return packed.PackedWriter(path, shape, options)
    if not self._usable or 0 in shape:
      return in_memory(split_name, shape)
    path = self._temporary / f'{split_name}_images.npy'
    try:
      self._temporary.mkdir(parents=True, exist_ok=True)
      array = np.lib.format.open_memmap(
        os.fspath(path), mode='w+', dtype=np.uint8, shape=shape
      )
      _reserve(os.fspath(path), array.nbytes)
    except OSError as error:
      self._give_up(error)
      return in_memory(split_name, shape)
    self._allocated[split_name] = array
    return array

  def finish(self, dataset: Dataset) -> Dataset:
    """Completes the folder and returns the data set as read from it."""
    if not self._usable:
      return dataset
    try:
      sizes, decoding = {}, None
      for split_name in _SPLITS:
        split = getattr(dataset, split_name)
        images = split.images
        if isinstance(images, packed.PackedImages):
          decoding = list(images.options)
        else:
          images = self._in_place(split_name, images)
        if not self._usable:
          return dataset
        if isinstance(images, np.memmap):
          images.flush()
        for field, array in _small_arrays(split).items():
          path = self._temporary / f'{split_name}_{field}.npy'
          artifacts.write_npy(path, array)
      for path in self._temporary.iterdir():
        sizes[path.name] = path.stat().length
      artifacts.write_manifest(
        self._temporary,
        {**dataset.description(), 'sizes': sizes, 'decoding': decoding},
      )
      atomic.move_into_place(self._temporary, self._folder)
    except (OSError, DataDietError) as error:
      self._give_up(error)
      return dataset
    manifest = artifacts.read_manifest(self._folder)
    assert manifest is not None  # It was written above.
    return _read(self._folder, manifest)

  def clean_up(self) -> None:
    """Removes what is not part of a complete folder."""
    # Arrays that are still mapped stay valid without a name.
    shutil.rmtree(self._temporary, ignore_errors=True)

  def _in_place(self, split_name: str, images: np.ndarray) -> np.ndarray:
    """The allocated array that holds `images`, copying them if needed."""
    allocated = self._allocated.get(split_name)
    if allocated is not None and np.may_share_memory(allocated, images):
      return allocated
    array = self.allocate(split_name, images.shape)
    position = 0
    for chunk in chunks(images):
      array[position : position + len(chunk)] = chunk
      position += len(chunk)
    return array

  def _give_up(self, error: Exception) -> None:
    # A full or read-only home must not stop somebody from working.
    logging.warning('The decoded data cannot be cached: %s', error)
    self._usable = False


def _reserve(path: str, num_bytes: int) -> None:
  """Reserves the disk space: a full disk would later crash the process."""
  with open(path, 'r+b') as file:
    size = os.path.getsize(path)
    try:
      os.posix_fallocate(file.fileno(), 0, size)
    except (AttributeError, OSError) as error:
      if atomic.is_full(error):
        raise
      # This system or file system cannot reserve space.
      file.seek(size - num_bytes)
      for start in range(0, num_bytes, 2**24):
        file.write(bytes(min(2**24, num_bytes - start)))


def _small_arrays(split: Split) -> dict[str, np.ndarray]:
  columns = {f'column_{name}': array for name, array in split.columns.items()}
  return {'labels': split.labels, 'ids': split.ids, **columns}


def _read_complete(folder: epath.Path) -> Dataset | None:
  """Reads the data set in a folder; None if it is missing or damaged."""
  try:
    manifest = artifacts.read_manifest(folder)
    if manifest is None:
      return None
    dataset = _read(folder, manifest)
  except (OSError, ValueError, KeyError, DataDietError) as error:
    logging.warning('Cache %s is damaged (%s); reading anew', folder, error)
    return None
  logging.info('Read %s from the cache %s', dataset.name, folder)
  return dataset


def _read(folder: epath.Path, manifest: dict[str, Any]) -> Dataset:
  for file_name, size in manifest['sizes'].items():
    found = (folder / file_name).stat().length
    if found != size:
      raise ValueError(f'{file_name} has {found} bytes, not {size}')

  def read(
    split_name: str, field: str, mmap_mode: Literal['r'] | None = None
  ) -> np.ndarray:
    path = folder / f'{split_name}_{field}.npy'
    return np.load(os.fspath(path), mmap_mode=mmap_mode)

  def images_of(split_name: str, num_examples: int) -> Any:
    options = manifest.get('decoding')
    if options is None:
      # The file is longer where unreadable images were skipped.
      return read(split_name, 'images', 'r')[:num_examples]
    shape = (num_examples, *manifest['image_shape'])
    return packed.PackedImages(
      packed.path_in(folder, split_name), shape, options
    )

  def read_split(split_name: str, num_examples: int) -> Split:
    prefix = f'{split_name}_column_'
    columns = sorted(
      file_name.removeprefix(prefix).removesuffix('.npy')
      for file_name in manifest['sizes']
      if file_name.startswith(prefix)
    )
    return Split(
      images_of(split_name, num_examples),
      read(split_name, 'labels'),
      read(split_name, 'ids'),
      {name: read(split_name, f'column_{name}') for name in columns},
    )

  return Dataset(
    name=manifest['name'],
    train=read_split('train', manifest['num_examples']),
    test=read_split('test', manifest['num_test_examples']),
    class_names=tuple(manifest['class_names']),
    mean=np.array(manifest['mean'], np.float32),
    std=np.array(manifest['std'], np.float32),
    fingerprint=manifest['fingerprint'],
    skipped=tuple(manifest['skipped']),
  )


@contextmanager
def _lock(folder: epath.Path) -> Iterator[bool]:
  """Lets one process at a time decode a folder; yields whether it could."""

  said = False

  def wait(holder: str) -> None:
    nonlocal said
    if not said:
      logging.info('Waiting for %s to decode %s', holder, folder)
      said = True
    stopping.raise_if_requested()
    time.sleep(0.2)

  with ExitStack() as stack:
    try:
      folder.parent.mkdir(parents=True, exist_ok=True)
      path = folder.parent / f'.{folder.name}.lock'
      stack.enter_context(lock.hold_file(path, wait))
      locked = True
    except OSError:  # A file system without locks, or a folder that the writer
      locked = False  # will say that nothing can be written to.
    yield locked
