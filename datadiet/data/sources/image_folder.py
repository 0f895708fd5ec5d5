"""Folders of images: one folder per class, in split folders or without."""

import os
import re
from collections.abc import Iterator

import numpy as np
from absl import logging
from etils import epath

from datadiet.data import splitting
from datadiet.data.dataset import Allocate, Dataset, in_memory
from datadiet.data.decoding import (
  EncodedImage,
  Listing,
  decoded_dataset,
  shown,
)
from datadiet.errors import ConfigError, DataDietError

_LIKE_A_SPLIT = re.compile(r'(train|test|valid|val)(ing|ation|set)?\d*')
EXTENSIONS = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.gif', '.tif', '.tiff')


def load_image_folder(settings, allocate: Allocate = in_memory) -> Dataset:
  """Reads `data_dir`/train/<class>/*.jpg and `data_dir`/test/<class>/*.jpg.

  Without a folder `train`, the folders in `data_dir` are the classes, and
  `test_fraction` of each becomes the test split. Ids are paths relative to
  `data_dir`; sorted, they are the canonical order.

  Args:
    settings: `config.dataset`; uses `data_dir`, `train_splits`, `test_split`,
      `test_fraction`, `image_size` and `skip_unreadable`.
    allocate: for the decoded images.

  Raises:
    DataDietError: if there are no images, a class is missing in a split, or an
      image cannot be read; names the folder or file.
  """
  root = require_folder(settings.data_dir, 'image_folder')
  source = os.fspath(root)
  if has_splits(root):
    train_splits, test_split = splitting.choose_splits(
      folders(root), settings.train_splits, settings.test_split, source
    )
    train = [path for name in train_splits for path in image_paths(root, name)]
    test = list(image_paths(root, test_split)) if test_split else None
    depth = 1
  else:
    _check_has_no_splits(root, settings)
    train = list(image_paths(root, ''))
    test, depth = None, 0
  train.sort()
  class_names = _class_names(train, depth, source)
  if test is None:
    labels = labels_of(train, depth, class_names, source)
    records = splitting.stratified_split(
      labels, settings.test_fraction, class_names, source
    )
    paths = {
      split_name: [train[number] for number in numbers]
      for split_name, numbers in records.items()
    }
  else:
    test.sort()
    _check_test_classes(test, class_names, source)
    paths = {'train': train, 'test': test}
  listings = {
    split_name: Listing(ids, labels_of(ids, depth, class_names, source))
    for split_name, ids in paths.items()
  }
  return decoded_dataset(
    'image_folder',
    listings,
    encoded_files(root, listings),
    class_names,
    settings=settings,
    allocate=allocate,
    source=source,
  )


def require_folder(data_dir: str, name: str) -> epath.Path:
  """The folder `data_dir`.

  Raises:
    ConfigError: if it is not set or not there.
  """
  if not data_dir:
    raise ConfigError(
      f"config.dataset.data_dir: '' is not allowed with {name}; allowed: the "
      'folder that holds the data'
    )
  root = epath.Path(data_dir).expanduser()
  if not root.is_dir():
    raise ConfigError(
      f'config.dataset.data_dir: {root} is not a folder; {name} needs one'
    )
  return root


def has_splits(root: epath.Path) -> bool:
  """Whether there is a folder `train` with a folder for each class."""
  train = root / 'train'
  return train.is_dir() and bool(folders(train))


def _check_has_no_splits(root: epath.Path, settings) -> None:
  """Refuses to take splits for classes, and splits that are not there."""
  names = folders(root)
  if names and all(_LIKE_A_SPLIT.fullmatch(name.lower()) for name in names):
    raise DataDietError(
      f'{os.fspath(root)} holds the folders {", ".join(names)}, which by their '
      'names are splits, not classes; allowed: train/CLASS/FILE and '
      'test/CLASS/FILE, or CLASS/FILE'
    )
  for name in ('train_splits', 'test_split'):
    if settings[name]:
      raise ConfigError(
        f'config.dataset.{name}: {settings[name]!r} is not allowed, as '
        f'{os.fspath(root)} has no folder train with a folder for each class'
      )


def folders(root: epath.Path) -> list[str]:
  """The names of the folders in a folder, without hidden ones."""
  return sorted(
    path.name
    for path in root.iterdir()
    if not path.name.startswith('.') and path.is_dir()
  )


def image_paths(root: epath.Path, below: str) -> Iterator[str]:
  """Paths of all images below `root/below`, relative to `root`.

  Files directly in `root/below` belong to no class and are passed over, as are
  hidden files and, with a warning, files of other kinds.
  """
  others = []
  for folder_name in folders(root / below):
    prefix = f'{below}/{folder_name}' if below else folder_name
    for path in files_below(root / prefix, prefix):
      name = path.rpartition('/')[2]
      if name.startswith('.'):
        continue
      if name.lower().endswith(EXTENSIONS):
        yield path
      else:
        others.append(path)
  if others:
    logging.warning(
      '%s: passed over %d files whose names do not end like those of images '
      '(%s): %s',
      os.fspath(root),
      len(others),
      ', '.join(EXTENSIONS),
      shown(others),
    )


def files_below(folder: epath.Path, prefix: str) -> Iterator[str]:
  """Paths of all files in a folder and below, with `prefix` in its place.

  Hidden folders are passed over: thumbnails, and copies that tools keep.
  """
  start = len(os.fspath(folder))
  for parent, inner, names in os.walk(os.fspath(folder), followlinks=True):
    inner[:] = [
      name
      for name in inner
      if not name.startswith('.') and not _leads_back(f'{parent}/{name}')
    ]
    between = parent[start:].replace(os.sep, '/')
    for name in names:
      yield f'{prefix}{between}/{name}'


def _leads_back(path: str) -> bool:
  """Whether it is a link to a folder that it lies in."""
  if not os.path.islink(path):
    return False
  target = os.path.realpath(path)
  parent = os.path.realpath(os.path.dirname(path))
  return os.path.commonpath([target, parent]) == target


def _class_names(paths: list[str], depth: int, source: str) -> tuple[str, ...]:
  names = tuple(sorted({path.split('/')[depth] for path in paths}))
  if not names:
    raise DataDietError(
      f'{source} holds no images; allowed: train/CLASS/FILE and '
      f'test/CLASS/FILE, or CLASS/FILE, with {", ".join(EXTENSIONS)}'
    )
  return names


def labels_of(
  paths: list[str], depth: int, class_names: tuple[str, ...], source: str
) -> np.ndarray:
  """int32 labels, from the folder at `depth` of each path.

  Raises:
    DataDietError: for a folder that is not a class, or a name that is not
      text and so cannot be an id.
  """
  numbers = {name: label for label, name in enumerate(class_names)}
  labels = np.zeros(len(paths), np.int32)
  for position, path in enumerate(paths):
    name = path.split('/')[depth]
    if name not in numbers:
      raise DataDietError(
        f'{source}/{path}: {name!r} is not a class; the train split has '
        f'{shown(list(class_names))}'
      )
    try:
      path.encode()
    except UnicodeEncodeError as error:
      raise DataDietError(
        f'{source}: the file name {path!r} is not valid UTF-8 and cannot be '
        'an id; rename it'
      ) from error
    labels[position] = numbers[name]
  return labels


def _check_test_classes(
  paths: list[str], class_names: tuple[str, ...], source: str
) -> None:
  missing = sorted(set(class_names) - {path.split('/')[1] for path in paths})
  if missing:
    raise DataDietError(
      f'{source}: the test split has no images of the '
      f'{"class" if len(missing) == 1 else "classes"} {shown(missing)}'
    )


def encoded_files(
  root: epath.Path, listings: dict[str, Listing]
) -> Iterator[EncodedImage]:
  """The files of listings whose ids are paths relative to `root`."""
  for split_name, listing in listings.items():
    for position, relative in enumerate(listing.ids):
      path = f'{os.fspath(root)}/{relative}'
      yield EncodedImage(split_name, position, path, path)
