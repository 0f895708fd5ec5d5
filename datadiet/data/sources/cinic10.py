"""CINIC-10: CIFAR-10's classes, from CIFAR-10 and from ImageNet.

Darlow et al. 2018, arXiv 1810.03505. Read from the official CINIC-10.tar.gz,
from its extracted folder, or from the arrays that the code of "Deep Learning
on a Data Diet" made of it.
"""

import os
from collections.abc import Iterator, Mapping

import numpy as np
from etils import epath

from datadiet.data import decode_worker, splitting
from datadiet.data.archives import archive_members
from datadiet.data.dataset import (
  Allocate,
  Dataset,
  Split,
  chunks,
  in_memory,
  make_dataset,
)
from datadiet.data.decoding import EncodedImage, Listing, decoded_dataset
from datadiet.data.sources import image_folder
from datadiet.errors import ConfigError, DataDietError

ARCHIVE = 'CINIC-10.tar.gz'
_FOLDERS = ('CINIC-10', 'cinic-10', 'cinic10')
_SPLITS = ('train', 'valid', 'test')
CLASS_NAMES = (
  'airplane',
  'automobile',
  'bird',
  'cat',
  'deer',
  'dog',
  'frog',
  'horse',
  'ship',
  'truck',
)
# Of the train split's pixels in [0, 1], as its authors give them.
MEAN = np.array((0.47889522, 0.47227842, 0.43047404), np.float32)
STD = np.array((0.24205776, 0.23828046, 0.25874835), np.float32)


def find_cinic10(settings) -> epath.Path:
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
  for folder in (root, *(root / name for name in _FOLDERS)):
    if (folder / 'train').is_dir() or (folder / 'X_train.npy').exists():
      return folder
  for folder in (root, *(root / name for name in _FOLDERS)):
    if (folder / ARCHIVE).exists():
      return folder / ARCHIVE
  raise ConfigError(
    f'config.dataset.data_dir: {root} holds neither {ARCHIVE} nor its folders '
    'train, valid and test; get it from https://doi.org/10.7488/ds/2448'
  )


def load_cinic10(settings, allocate: Allocate = in_memory) -> Dataset:
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
  split_of = dict.fromkeys(train_splits, 'train') | {test_split: 'test'}
  if (source / 'X_train.npy').exists():
    return _load_arrays(source, split_of, allocate, settings)
  return _load_images(source, split_of, allocate, settings)


def _load_images(
  source: epath.Path,
  split_of: Mapping[str, str],
  allocate: Allocate,
  settings,
) -> Dataset:
  is_archive = not source.is_dir()
  paths: dict[str, list[str]] = {'train': [], 'test': []}
  if is_archive:
    for name, _ in archive_members(source):
      if _official_split(name) in split_of:
        paths[split_of[_official_split(name)]].append(name)
  else:
    for official, split_name in split_of.items():
      if not (source / official).is_dir():
        raise DataDietError(
          f'{source} is not complete: it has no folder {official}'
        )
      paths[split_name].extend(image_folder.image_paths(source, official))
  listings = {}
  for split_name, ids in paths.items():
    ids.sort()
    _check_complete(source, ids, split_of, split_name)
    labels = image_folder.labels_of(ids, 1, CLASS_NAMES, os.fspath(source))
    listings[split_name] = Listing(ids, labels, {'origin': _origins(ids)})
  if is_archive:
    encoded = _encoded_members(source, listings)
  else:
    encoded = image_folder.encoded_files(source, listings)
  return decoded_dataset(
    'cinic10',
    listings,
    encoded,
    CLASS_NAMES,
    settings=settings,
    allocate=allocate,
    source=os.fspath(source),
    mean=MEAN,
    std=STD,
  )


def _official_split(name: str) -> str | None:
  """The split of an archive's member; None if it is not an image."""
  parts = name.split('/')
  is_image = len(parts) == 3 and name.lower().endswith('.png')
  return parts[0] if is_image and not parts[2].startswith('.') else None


def _check_complete(
  source: epath.Path,
  ids: list[str],
  split_of: Mapping[str, str],
  split_name: str,
) -> None:
  """Every official split must have images of every class."""
  found = {tuple(name.split('/')[:2]) for name in ids}
  for official, belongs_to in split_of.items():
    for class_name in CLASS_NAMES:
      if belongs_to == split_name and (official, class_name) not in found:
        raise DataDietError(
          f'{source} is not complete: it has no images in '
          f'{official}/{class_name}'
        )


def _origins(ids: list[str]) -> list[str]:
  return [
    'cifar' if name.rpartition('/')[2].startswith('cifar10-') else 'imagenet'
    for name in ids
  ]


def _encoded_members(
  archive: epath.Path, listings: Mapping[str, Listing]
) -> Iterator[EncodedImage]:
  rows = {
    name: (split_name, position)
    for split_name, listing in listings.items()
    for position, name in enumerate(listing.ids)
  }
  for name, read in archive_members(archive):
    if name in rows:
      yield EncodedImage(*rows[name], read(), f'{archive}/{name}')


def _load_arrays(
  folder: epath.Path,
  split_of: Mapping[str, str],
  allocate: Allocate,
  settings,
) -> Dataset:
  """Reads X_train.npy (uint8 images), Y_train.npy (labels), and so on."""
  splits = {}
  for split_name in ('train', 'test'):
    parts = [
      (official, *_read_arrays(folder, official))
      for official, belongs_to in split_of.items()
      if belongs_to == split_name
    ]
    num_examples = sum(len(labels) for _, _, labels in parts)
    height, width, channels = parts[0][1].shape[1:]
    if settings.image_size:
      height = width = settings.image_size
    elif len({part.shape[1:] for _, part, _ in parts}) > 1:
      shapes = (f'X_{name}.npy {list(part.shape)}' for name, part, _ in parts)
      raise DataDietError(
        f'{folder}: its images differ in size: {", ".join(shapes)}; set '
        'config.dataset.image_size to resize them to one'
      )
    images = allocate(split_name, (num_examples, height, width, channels))
    position = 0
    for _, part, _ in parts:
      for chunk in chunks(part):
        resized = decode_worker.resize(chunk, settings.image_size)
        images[position : position + len(chunk)] = resized
        position += len(chunk)
    ids = [
      f'{official}_{i:05d}'
      for official, _, labels in parts
      for i in range(len(labels))
    ]
    labels = np.concatenate([labels for _, _, labels in parts])
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
  folder: epath.Path, official: str
) -> tuple[np.ndarray, np.ndarray]:
  """uint8[num, height, width, 3] and int32[num] of one official split."""
  arrays = []
  for letter in ('X', 'Y'):
    path = folder / f'{letter}_{official}.npy'
    try:
      arrays.append(np.load(os.fspath(path), mmap_mode='r'))
    except FileNotFoundError as error:
      raise DataDietError(
        f'{folder} is not complete: it has no {path.name}'
      ) from error
    except (OSError, ValueError, EOFError) as error:
      raise DataDietError(f'{path} is cut short or damaged') from error
  images, labels = arrays
  where = folder / f'X_{official}.npy'
  if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] != 3:
    raise DataDietError(
      f'{where} must hold uint8 [num, height, width, 3], it has '
      f'{images.dtype} {list(images.shape)}'
    )
  if len(images) != labels.size or labels.dtype.kind not in 'iu':
    raise DataDietError(
      f'{folder}/Y_{official}.npy must hold {len(images)} integers, it has '
      f'{labels.dtype} {list(labels.shape)}'
    )
  return images, np.asarray(labels).reshape(-1).astype(np.int32)
