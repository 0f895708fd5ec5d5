"""Your own arrays: .npy files in a folder, or one .npz file with them.

The names are train_images, train_labels, test_images and test_labels, or
images and labels, of which a part becomes the test split. Optional: class_names
and train_ids, test_ids or ids.
"""

import os
from collections.abc import Iterable, Mapping

import numpy as np
from etils import epath

from datadiet.data import checks, splitting
from datadiet.data.dataset import (
  ROW,
  Allocate,
  Dataset,
  Split,
  chunks,
  in_memory,
  make_dataset,
)
from datadiet.data.settings import DatasetSettings
from datadiet.decoders.images import resize
from datadiet.errors import ConfigError, DataDietError, counted

_PARTS = ('images', 'labels', 'ids')
_NAMES = (
  *(f'{prefix}{what}' for prefix in ('', 'train_', 'test_') for what in _PARTS),
  'class_names',
)
# The one that is there is read.
_TRAIN_IMAGES = ('train_images', 'images')
_ALLOWED = (
  'a folder with .npy files called train_images.npy, train_labels.npy, '
  'test_images.npy and test_labels.npy, or images.npy and labels.npy; or one '
  '.npz file with arrays of these names'
)


def find_arrays(settings: DatasetSettings) -> epath.Path:
  """The .npz file that `data_dir` is or holds, or the folder of .npy files.

  Raises:
    ConfigError: if there is not exactly one.
  """
  if not settings.data_dir:
    raise ConfigError(
      f"config.dataset.data_dir: '' is not allowed with arrays; allowed: "
      f'{_ALLOWED}'
    )
  root = epath.Path(settings.data_dir).expanduser()
  if not root.exists():
    raise ConfigError(f'config.dataset.data_dir: {root} does not exist')
  if not root.is_dir():
    if root.suffix == '.npz':
      return root
    raise ConfigError(
      f'config.dataset.data_dir: {root} is no .npz file; allowed: {_ALLOWED}'
    )
  names = sorted(path.name for path in root.iterdir())
  if any(name.removesuffix('.npy') in _NAMES for name in names):
    return root
  archives = [name for name in names if name.endswith('.npz')]
  if len(archives) != 1:
    raise ConfigError(
      f'config.dataset.data_dir: {root} holds {len(archives)} .npz files and '
      f'no images.npy or train_images.npy; allowed: {_ALLOWED}'
    )
  return root / archives[0]


def load_arrays(
  settings: DatasetSettings, allocate: Allocate = in_memory
) -> Dataset:
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
  arrays = _read(path)
  parts = {'example': ''}
  if 'train_images' in arrays:
    parts = {'train': 'train_', 'test': 'test_'}
  _check_all_are_used(arrays, parts.values(), source)
  labels = {
    name: _labels(arrays, f'{prefix}labels', source)
    for name, prefix in parts.items()
  }
  class_names = _class_names(arrays, labels, source)
  splits = {}
  for name, prefix in parts.items():
    ids = _ids(arrays, name, prefix, len(labels[name]), source)
    checks.check_range(labels[name], ids, len(class_names), source)
    records = {name: np.arange(len(ids))}
    if not prefix:
      records = splitting.stratified_split(
        labels[name], settings.test_fraction, class_names, source
      )
    images = _read_images(
      arrays, f'{prefix}images', records, allocate, settings, source
    )
    for split_name, numbers in records.items():
      splits[split_name] = Split(
        images[split_name],
        labels[name][numbers],
        ids[numbers],
        {ROW: numbers},
      )
  return make_dataset(
    'arrays', splits['train'], splits['test'], class_names, source=source
  )


def array_expression(settings: DatasetSettings) -> str:
  """Python code, after `import numpy as np`, for the array of train images.

  `Split.columns['row']` numbers its rows.
  """
  path = find_arrays(settings)
  if not path.is_dir():
    with np.load(path) as archive:
      key = next(key for key in _TRAIN_IMAGES if key in archive)
    return f'np.load({os.path.abspath(path)!r})[{key!r}]'
  files = [path / f'{key}.npy' for key in _TRAIN_IMAGES]
  file = next(file for file in files if file.exists())
  return f"np.load({os.path.abspath(file)!r}, mmap_mode='r')"


def _check_all_are_used(
  arrays: Mapping[str, np.ndarray | None], prefixes: Iterable[str], source: str
) -> None:
  """Refuses two namings side by side, of which one would be passed over."""
  used = {f'{prefix}{what}' for prefix in prefixes for what in _PARTS}
  there = {name for name, values in arrays.items() if values is not None}
  unused = sorted(there & {*_NAMES} - used - {'class_names'})
  if unused:
    beside = 'train_images' if 'train_images' in used else 'images'
    raise DataDietError(
      f'{source} has {", ".join(unused)} beside {beside}; allowed: {_ALLOWED}'
    )


def _read(path: epath.Path) -> dict[str, np.ndarray | None]:
  """The arrays of a folder, memory-mapped, or of a .npz file, in memory.

  Arrays of names that mean nothing here are None: they are not looked at.
  """
  arrays: dict[str, np.ndarray | None] = {}
  name = ''
  try:
    if path.is_dir():
      for file in sorted(path.glob('*.npy')):
        name = file.name.removesuffix('.npy')
        arrays[name] = None
        if name in _NAMES:
          arrays[name] = np.lib.format.open_memmap(os.fspath(file), mode='r')
      return arrays
    # numpy would leave a file open that is no archive.
    with path.open('rb') as file:
      archive = np.load(file, allow_pickle=False)
      if isinstance(archive, np.ndarray):
        raise ValueError('it is a .npy file, one array without a name')
      for name in archive:
        arrays[name] = archive[name] if name in _NAMES else None
    return arrays
  except MemoryError as error:
    raise DataDietError(
      f'{path}: {name} does not fit into memory; save each array as a .npy '
      'file in a folder (np.save): those are memory-mapped'
    ) from error
  # Each part of a damaged file makes numpy and zipfile raise something else.
  except Exception as error:
    reason = (str(error) or type(error).__name__).splitlines()[0]
    if 'allow_pickle' in reason or 'Array can' in reason:
      reason = 'it holds Python objects, which are not read'
    where, name = (path / f'{name}.npy', '') if path.is_dir() else (path, name)
    raise DataDietError(
      f'{where} cannot be read as arrays: {f"{name}: " if name else ""}{reason}'
    ) from error


def _require(arrays: Mapping, key: str, source: str) -> np.ndarray:
  if arrays.get(key) is None:
    raise DataDietError(
      f'{source} has no array {key!r}, it has '
      f'{", ".join(sorted(arrays)) or "none"}; allowed: {_ALLOWED}'
    )
  if not arrays[key].ndim:
    raise DataDietError(f'{source}: {key} is a single value, not an array')
  return arrays[key]


def _read_images(
  arrays: Mapping,
  key: str,
  records: Mapping[str, np.ndarray],
  allocate: Allocate,
  settings: DatasetSettings,
  source: str,
) -> dict[str, np.ndarray]:
  """Reads images into an array for each split."""
  array = _require(arrays, key, source)
  num_records = sum(map(len, records.values()))
  _check_images(array, key, num_records, source)
  image_shape = (*array.shape[1:3], array.shape[3] if array.ndim == 4 else 1)
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
  for chunk in chunks(array):
    images = chunk if chunk.ndim == 4 else chunk[..., None]
    images = resize(images, settings.image_size)
    splitting.scatter(destinations, records, start, images)
    start += len(images)
  return destinations


def _check_images(array, key: str, num_records: int, source: str) -> None:
  shape = array.shape
  if array.dtype != np.uint8 or len(shape) not in (3, 4):
    raise DataDietError(
      f'{source}: {key} must be uint8 [num, height, width, channels] with '
      f'values from 0 to 255, it is {array.dtype} {list(shape)}'
    )
  if 0 in shape[1:]:
    raise DataDietError(f'{source}: {key} has no pixels: {list(shape)}')
  if len(shape) == 4 and _channels_first(*shape[1:]):
    raise DataDietError(
      f'{source}: {key} has shape {list(shape)}, with the channels first; '
      'store it as [num, height, width, channels], by '
      'np.moveaxis(images, 1, -1)'
    )
  if shape[0] != num_records:
    raise DataDietError(
      f'{source}: {key} has {counted(shape[0], "image")} for '
      f'{counted(num_records, "label")}'
    )


def _channels_first(first: int, second: int, last: int) -> bool:
  """Whether the first axis of an image can only be that of the channels.

  A few bands, or as many of them as the patch has pixels a side, stay.
  """
  if first in (1, 3) and last not in (1, 3):
    return True
  return last > 4 and (first < min(second, last) or first == second == last)


def _labels(arrays: Mapping, key: str, source: str) -> np.ndarray:
  labels = _require(arrays, key, source)
  if labels.dtype.kind not in 'iu' or labels.size != len(labels):
    raise DataDietError(
      f'{source}: {key} must be one integer per image, it is {labels.dtype} '
      f'{list(labels.shape)}'
    )
  if labels.size and not -(2**31) <= labels.min() <= labels.max() < 2**31:
    raise DataDietError(f'{source}: {key} has labels beyond 32 bits')
  return labels.reshape(-1).astype(np.int32)


def _class_names(arrays: Mapping, labels, source: str) -> tuple[str, ...]:
  if 'class_names' in arrays:
    names = _require(arrays, 'class_names', source)
    return tuple(_texts(names, 'class_names', len(names), source).tolist())
  highest = max(int(part.max(initial=-1)) for part in labels.values())
  return checks.numbered_classes(highest, source)


def _ids(arrays, name: str, prefix: str, num_examples: int, source: str):
  key = f'{prefix}ids'
  if key not in arrays:
    return np.array([f'{name}_{i:05d}' for i in range(num_examples)])
  return _texts(_require(arrays, key, source), key, num_examples, source)


def _texts(array: np.ndarray, key: str, num: int, source: str) -> np.ndarray:
  if array.shape != (num,) or array.dtype.kind not in 'USiu':
    raise DataDietError(
      f'{source}: {key} must be {num} texts or integers, it is '
      f'{array.dtype} {list(array.shape)}'
    )
  if array.dtype.kind != 'S':
    return array.astype(np.str_)
  try:
    return np.char.decode(array, 'utf-8')
  except UnicodeDecodeError as error:
    raise DataDietError(f'{source}: {key} is not UTF-8 ({error})') from error
