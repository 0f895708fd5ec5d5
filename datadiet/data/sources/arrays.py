"""Your own arrays: one .npz file, or .npy files of the same names in a folder.

The names are train_images, train_labels, test_images and test_labels, or
images and labels, of which a part becomes the test split. Optional: class_names
and train_ids, test_ids or ids.
"""

import dataclasses
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from etils import epath

from datadiet.data import decode_worker, splitting
from datadiet.data.dataset import (
  Allocate,
  Dataset,
  Split,
  chunks,
  in_memory,
  make_dataset,
)
from datadiet.errors import ConfigError, DataDietError

_CHUNK_BYTES = 2**24
_NAMES = (
  *(
    f'{prefix}{what}'
    for prefix in ('', 'train_', 'test_')
    for what in ('images', 'labels', 'ids')
  ),
  'class_names',
)
_LAYOUTS = (
  'train_images, train_labels, test_images and test_labels, or images and '
  'labels'
)


@dataclasses.dataclass(frozen=True)
class _Member:
  """One stored array, whose data is read in chunks.

  Attributes:
    shape: of the array.
    dtype: likewise.
    chunks: consecutive parts of it, along the first axis.
  """

  shape: tuple[int, ...]
  dtype: np.dtype
  chunks: Callable[[], Iterator[np.ndarray]]

  def whole(self) -> np.ndarray:
    """All of it, in memory."""
    parts = list(self.chunks())
    return np.concatenate(parts) if parts else np.zeros(self.shape, self.dtype)


# By name; None for arrays under names that mean nothing here.
_Members = dict[str, _Member | None]


def find_arrays(settings) -> epath.Path:
  """The .npz file that `data_dir` is or holds, or the folder of .npy files.

  Raises:
    ConfigError: if there is not exactly one.
  """
  if not settings.data_dir:
    raise ConfigError(
      "config.dataset.data_dir: '' is not allowed with arrays; allowed: a .npz "
      'file, or a folder with one or with .npy files'
    )
  root = epath.Path(settings.data_dir).expanduser()
  if root.is_file():
    return root
  if not root.exists():
    raise ConfigError(f'config.dataset.data_dir: {root} does not exist')
  names = [path.name for path in root.iterdir()] if root.is_dir() else []
  if any(name.endswith('images.npy') for name in names):
    return root
  archives = [name for name in names if name.endswith('.npz')]
  if len(archives) != 1:
    raise ConfigError(
      f'config.dataset.data_dir: {root} holds {len(archives)} .npz files and '
      'no images.npy or train_images.npy; allowed: a .npz file, or a folder '
      'with one or with .npy files'
    )
  return root / archives[0]


def load_arrays(settings, allocate: Allocate = in_memory) -> Dataset:
  """Reads images and labels that are arrays already.

  Images are uint8 [num, height, width, channels] or [num, height, width];
  labels are integers from 0. The order is the arrays' own. Without ids,
  examples are called 'train_00000' and so on, or 'example_00000' where one
  split is divided.

  Args:
    settings: `config.dataset`; uses `data_dir`, `test_fraction` and
      `image_size`.
    allocate: for the images.

  Raises:
    DataDietError: if the file is damaged, or an array is missing or not as
      described above.
  """
  path = find_arrays(settings)
  source = os.fspath(path)
  splitting.check_usual_splits(settings, source)
  members = _folder_members(path) if path.is_dir() else _archive_members(path)
  if 'train_images' in members:
    parts = {'train': 'train_', 'test': 'test_'}
  else:
    parts = {'example': ''}
  labels = {
    name: _labels(members, f'{prefix}labels', source)
    for name, prefix in parts.items()
  }
  class_names = _class_names(members, labels, source)
  ids = {
    name: _ids(members, name, prefix, len(labels[name]), source)
    for name, prefix in parts.items()
  }
  splits = {}
  for name, prefix in parts.items():
    records = {name: np.arange(len(labels[name]))}
    if not prefix:
      _check_range(labels[name], class_names, source)
      records = splitting.stratified_split(
        labels[name], settings.test_fraction, class_names, source
      )
    images = _read_images(
      members, f'{prefix}images', records, allocate, settings, source
    )
    for split_name, numbers in records.items():
      splits[split_name] = Split(
        images[split_name], labels[name][numbers], ids[name][numbers]
      )
  return make_dataset(
    'arrays', splits['train'], splits['test'], class_names, source=source
  )


def _read_images(members, key, records, allocate, settings, source):
  """Reads images into an array for each split."""
  member = _require(members, key, source)
  shape = member.shape
  if member.dtype != np.uint8 or len(shape) not in (3, 4):
    raise DataDietError(
      f'{source}: {key} must be uint8 [num, height, width, channels] with '
      f'values from 0 to 255, it is {member.dtype} {list(shape)}'
    )
  if len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3):
    raise DataDietError(
      f'{source}: {key} has shape {list(shape)}, with the channels first; '
      'store it as [num, height, width, channels]'
    )
  num_records = sum(map(len, records.values()))
  if shape[0] != num_records:
    raise DataDietError(
      f'{source}: {key} has {shape[0]} images for {num_records} labels'
    )
  image_shape = (*shape[1:3], shape[3] if len(shape) == 4 else 1)
  if settings.image_size:
    if image_shape[2] not in (1, 3):
      raise DataDietError(
        f'{source}: {key} has {image_shape[2]} channels, and only images of 1 '
        'or 3 can be resized; set config.dataset.image_size=0'
      )
    image_shape = (settings.image_size, settings.image_size, image_shape[2])
  destinations = {
    split_name: allocate(split_name, (len(numbers), *image_shape))
    for split_name, numbers in records.items()
  }
  start = 0
  for chunk in member.chunks():
    images = chunk if chunk.ndim == 4 else chunk[..., None]
    images = decode_worker.resize(images, settings.image_size)
    splitting.scatter(destinations, records, start, images)
    start += len(images)
  return destinations


def _require(members: _Members, key: str, source: str) -> _Member:
  if key not in members:
    raise DataDietError(
      f'{source} has no array {key!r}, it has '
      f'{", ".join(sorted(members)) or "none"}; needed are {_LAYOUTS}'
    )
  return members[key]


def _labels(members, key: str, source: str) -> np.ndarray:
  labels = _require(members, key, source).whole()
  if labels.dtype.kind not in 'iu' or labels.size != len(labels):
    raise DataDietError(
      f'{source}: {key} must be one integer per image, it is {labels.dtype} '
      f'{list(labels.shape)}'
    )
  if labels.size and not -(2**31) <= labels.min() <= labels.max() < 2**31:
    raise DataDietError(f'{source}: {key} has labels beyond 32 bits')
  return labels.reshape(-1).astype(np.int32)


def _class_names(members, labels, source: str) -> tuple[str, ...]:
  if 'class_names' in members:
    names = members['class_names'].whole()
    return tuple(_texts(names, 'class_names', (len(names),), source).tolist())
  highest = max(int(part.max(initial=-1)) for part in labels.values())
  if highest > 2**20:
    raise DataDietError(
      f'{source}: the label {highest} is too high; allowed: 0 to the number of '
      'classes minus 1'
    )
  return tuple(map(str, range(highest + 1)))


def _check_range(labels: np.ndarray, class_names, source: str) -> None:
  outside = (labels < 0) | (labels >= len(class_names))
  if outside.any():
    index = int(np.argmax(outside))
    raise DataDietError(
      f'{source}: example {index} has label {labels[index]}, allowed are 0 to '
      f'{len(class_names) - 1}'
    )


def _ids(members, name: str, prefix: str, num_examples: int, source: str):
  key = f'{prefix}ids'
  if key not in members:
    return np.array([f'{name}_{i:05d}' for i in range(num_examples)])
  return _texts(members[key].whole(), key, (num_examples,), source)


def _texts(array: np.ndarray, key: str, shape: tuple, source: str):
  if array.shape != shape or array.dtype.kind not in 'USiu':
    raise DataDietError(
      f'{source}: {key} must be {shape[0]} texts or integers, it is '
      f'{array.dtype} {list(array.shape)}'
    )
  if array.dtype.kind != 'S':
    return array.astype(np.str_)
  try:
    return np.char.decode(array, 'utf-8')
  except UnicodeDecodeError as error:
    raise DataDietError(f'{source}: {key} is not UTF-8 ({error})') from error


def _folder_members(folder: epath.Path) -> _Members:
  members = {}
  for path in folder.iterdir():
    if path.suffix != '.npy':
      continue
    if path.name.removesuffix('.npy') not in _NAMES:
      members[path.name.removesuffix('.npy')] = None
      continue
    try:
      array = np.load(os.fspath(path), mmap_mode='r')
    except (OSError, ValueError, EOFError) as error:
      raise _damaged(path, error) from error
    members[path.name.removesuffix('.npy')] = _Member(
      array.shape, array.dtype, lambda array=array: chunks(array)
    )
  return members


def _archive_members(path: epath.Path) -> _Members:
  """The arrays of a .npz file, none of them read yet."""
  members, name = {}, ''
  try:
    with path.open('rb') as file, zipfile.ZipFile(file) as archive:
      for name in archive.namelist():
        if name.removesuffix('.npy') not in _NAMES:
          members[name.removesuffix('.npy')] = None
          continue
        with archive.open(name) as stored:
          shape, _, dtype = _read_header(stored)
        members[name.removesuffix('.npy')] = _Member(
          shape, dtype, lambda name=name: _member_chunks(path, name)
        )
  except _DAMAGE as error:
    raise _damaged(path, error, name) from error
  return members


def _member_chunks(path: epath.Path, name: str) -> Iterator[np.ndarray]:
  try:
    with (
      path.open('rb') as file,
      zipfile.ZipFile(file) as archive,
      archive.open(name) as stored,
    ):
      shape, fortran_order, dtype = _read_header(stored)
      if fortran_order and len(shape) > 1:
        stored.seek(0)
        yield np.lib.format.read_array(stored, allow_pickle=False)
        return
      row_bytes = int(np.prod(shape[1:])) * dtype.itemsize
      rows = max(1, _CHUNK_BYTES // max(1, row_bytes))
      for start in range(0, shape[0], rows):
        num_rows = min(rows, shape[0] - start)
        content = stored.read(num_rows * row_bytes)
        yield np.frombuffer(content, dtype).reshape(num_rows, *shape[1:])
  except _DAMAGE as error:
    raise _damaged(path, error, name) from error


_DAMAGE = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error)


def _read_header(stored) -> tuple[tuple[int, ...], bool, np.dtype]:
  version = np.lib.format.read_magic(stored)
  if version == (1, 0):
    header = np.lib.format.read_array_header_1_0(stored)
  else:
    header = np.lib.format.read_array_header_2_0(stored)
  shape, _, dtype = header
  if dtype.hasobject:
    raise ValueError('it holds Python objects, which are not read')
  if not shape:
    raise ValueError('it holds a single number where an array is needed')
  return header


def _damaged(
  path: epath.Path, error: Exception, name: str = ''
) -> DataDietError:
  where = f'{name}: ' if name else ''
  return DataDietError(f'{path} cannot be read as arrays: {where}{error}')
