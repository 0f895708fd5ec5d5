"""CINIC-10: CIFAR-10's classes, from CIFAR-10 and from ImageNet.

Darlow et al. 2018, arXiv 1810.03505. An image folder of known splits and
classes, read from the official CINIC-10.tar.gz or its extracted folder; or the
arrays that the code of "Deep Learning on a Data Diet" made of it.
"""

import os
from collections.abc import Mapping

import numpy as np
from etils import epath

from datadiet.data import archives, splitting
from datadiet.data.dataset import (
  Allocate,
  Dataset,
  Split,
  chunks,
  in_memory,
  make_dataset,
)
from datadiet.data.settings import DatasetSettings
from datadiet.data.sources import (
  folder_classes,
  folder_layout,
  image_folder,
)
from datadiet.decoders.images import resize
from datadiet.errors import ConfigError, DataDietError

ARCHIVE = 'CINIC-10.tar.gz'
_FOLDERS = ('', 'CINIC-10', 'cinic-10', 'cinic10')
_SPLITS = ('train', 'valid', 'test')
CLASS_NAMES = tuple(
  'airplane automobile bird cat deer dog frog horse ship truck'.split()
)
# Of the train split's pixels in [0, 1], as its authors give them.
MEAN = np.array((0.47889522, 0.47227842, 0.43047404), np.float32)
STD = np.array((0.24205776, 0.23828046, 0.25874835), np.float32)


def find_cinic10(settings: DatasetSettings) -> epath.Path:
  """The archive or folder that `data_dir` is or holds.

  Raises:
    ConfigError: if there is none.
  """
  if not settings.data_dir:
    raise ConfigError(
      "config.dataset.data_dir: '' is not allowed with cinic10; allowed: the "
      f'folder that holds {ARCHIVE} or what was extracted from it'
    )
  root = epath.Path(settings.data_dir).expanduser()
  if root.is_file():
    return root
  for folder in (root / name for name in _FOLDERS):
    if (folder / 'train').is_dir() or (folder / 'X_train.npy').exists():
      return folder
  for folder in (root / name for name in _FOLDERS):
    if (folder / ARCHIVE).exists():
      return folder / ARCHIVE
  raise ConfigError(
    f'config.dataset.data_dir: {root} holds neither {ARCHIVE} nor its folders '
    'train, valid and test; get it from https://doi.org/10.7488/ds/2448'
  )


def load_cinic10(
  settings: DatasetSettings, allocate: Allocate = in_memory
) -> Dataset:
  """Reads CINIC-10; train and valid together are its train split.

  Ids are paths such as 'train/cat/cifar10-train-21.png', and sorted ids the
  canonical order; the column 'origin' is 'cifar' or 'imagenet'. In arrays ids
  are numbers such as 'valid_00017', in the arrays' order, without that column.

  Args:
    settings: `config.dataset`; uses `data_dir`, `train_splits` (some of
      'train', 'valid', 'test'; () for train and valid), `test_split`,
      `image_size` and `skip_unreadable`.
    allocate: for the images.

  Raises:
    DataDietError: if the data is missing, cut short or damaged.
  """
  source = find_cinic10(settings)
  train_splits, test_split = splitting.choose_splits(
    _SPLITS,
    settings.train_splits or ('train', 'valid'),
    settings.test_split,
    os.fspath(source),
  )
  if test_split is None:
    raise ConfigError(
      f'config.dataset.train_splits: {train_splits} leaves no split to test '
      'on; allowed: some of train, valid, test, but not all'
    )
  splits = {'train': train_splits, 'test': (test_split,)}
  if (source / 'X_train.npy').exists():
    return _load_arrays(source, splits, allocate, settings)
  if source.is_dir():
    return _load_images(source, splits, allocate, settings)
  with archives.unpacked(source, settings.cache_dir) as folder:
    return _load_images(folder, splits, allocate, settings)


def _load_images(
  source: epath.Path,
  splits: Mapping[str, tuple[str, ...]],
  allocate: Allocate,
  settings: DatasetSettings,
) -> Dataset:
  layout = folder_layout.Layout(splits)
  files = image_folder.list_images(source)
  paths = {
    split_name: [path for path in files if layout.class_of(path, bases)]
    for split_name, bases in splits.items()
  }
  class_of = layout.class_by_path(paths)
  for split_name, bases in splits.items():
    for base in bases:
      below = (p for p in paths[split_name] if p.startswith(f'{base}/'))
      folder_classes.check_all_there(
        (class_of[path] for path in below),
        CLASS_NAMES,
        f'{source} is cut short: {base}',
      )
  return image_folder.load_paths(
    'cinic10',
    source,
    paths,
    class_of,
    CLASS_NAMES,
    settings=settings,
    allocate=allocate,
    columns=lambda ids: {'origin': list(map(_origin, ids))},
    mean=MEAN,
    std=STD,
  )


def _origin(path: str) -> str:
  is_cifar = path.rpartition('/')[2].startswith('cifar10-')
  return 'cifar' if is_cifar else 'imagenet'


def _load_arrays(
  folder: epath.Path,
  split_names: Mapping[str, tuple[str, ...]],
  allocate: Allocate,
  settings: DatasetSettings,
) -> Dataset:
  """Reads X_train.npy (uint8 images), Y_train.npy (labels), and so on."""
  splits = {}
  for split_name, names in split_names.items():
    parts = {name: _read_arrays(folder, name) for name in names}
    shapes = {images.shape[1:] for images, _ in parts.values()}
    height, width, channels = max(shapes)
    if settings.image_size:
      height = width = settings.image_size
    elif len(shapes) > 1:
      found = (f'X_{n}.npy {list(x.shape)}' for n, (x, _) in parts.items())
      raise DataDietError(
        f'{folder}: its images differ in size: {", ".join(found)}; set '
        'config.dataset.image_size to resize them to one'
      )
    labels = np.concatenate([labels for _, labels in parts.values()])
    images = allocate(split_name, (len(labels), height, width, channels))
    position = 0
    for part, _ in parts.values():
      for chunk in chunks(part):
        resized = resize(chunk, settings.image_size, settings.resize)
        images[position : position + len(chunk)] = resized
        position += len(chunk)
    ids = [f'{n}_{i:05d}' for n, (x, _) in parts.items() for i in range(len(x))]
    splits[split_name] = Split(images, labels, np.array(ids))
  return make_dataset(
    'cinic10',
    splits['train'],
    splits['test'],
    CLASS_NAMES,
    mean=MEAN,
    std=STD,
    source=os.fspath(folder),
  )


def _read_arrays(
  folder: epath.Path, name: str
) -> tuple[np.ndarray, np.ndarray]:
  """uint8[num, height, width, 3] and int32[num] of one official split."""
  arrays = []
  for path in (folder / f'X_{name}.npy', folder / f'Y_{name}.npy'):
    try:
      arrays.append(np.load(os.fspath(path), mmap_mode='r'))
    except FileNotFoundError as error:
      raise DataDietError(
        f'{folder} is not complete: it has no {path.name}'
      ) from error
    except (OSError, ValueError, EOFError) as error:
      raise DataDietError(f'{path} is cut short or damaged') from error
  images, labels = arrays
  if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
    raise DataDietError(
      f'{folder}/X_{name}.npy must hold uint8 [num, height, width, 3], it has '
      f'{images.dtype} {list(images.shape)}'
    )
  if len(images) != labels.size or labels.dtype.kind not in 'iu':
    raise DataDietError(
      f'{folder}/Y_{name}.npy must hold {len(images)} integers, it has '
      f'{labels.dtype} {list(labels.shape)}'
    )
  return images, np.asarray(labels).reshape(-1).astype(np.int32)
