"""Folders of images: one folder per class, in split folders or without."""

import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from absl import logging
from etils import epath

from datadiet.data import splitting, tree
from datadiet.data.checks import listed
from datadiet.data.dataset import Allocate, Dataset, in_memory
from datadiet.data.decoding import EncodedImage, Listing, decoded_dataset
from datadiet.data.settings import DatasetSettings
from datadiet.data.sources import folder_classes, folder_layout
from datadiet.data.sources.folder_layout import EXTENSIONS
from datadiet.errors import ConfigError, DataDietError, counted


def load_image_folder(
  settings: DatasetSettings, allocate: Allocate = in_memory
) -> Dataset:
  """Reads `data_dir`/train/<class>/*.jpg and `data_dir`/test/<class>/*.jpg.

  Without split folders, the folders in `data_dir` are the classes, and
  `test_fraction` of each becomes the test split. Ids are paths relative to
  `data_dir`; sorted, they are the canonical order. `folder_layout` says which
  folders are splits and classes.

  Args:
    settings: `config.dataset`; uses `data_dir`, `train_splits`, `test_split`,
      `test_fraction`, `image_size`, `background` and `skip_unreadable`.
    allocate: for the decoded images.

  Raises:
    DataDietError: if there are no images or fewer than two classes, if the
      folders can be read in several ways, if a class is missing in a split, or
      if a folder or an image cannot be read; names the folder or file.
  """
  root = require_folder(settings.data_dir, 'image_folder')
  source = os.fspath(root)
  files = list_images(root)
  layout = folder_layout.find(files, settings, source)
  paths = {
    split_name: [path for path in files if layout.class_of(path, bases)]
    for split_name, bases in layout.bases.items()
  }
  _tell_left_over(files, paths, source)
  class_of = layout.class_by_path(paths)
  class_names = tuple(sorted({class_of[path] for path in paths['train']}))
  folder_classes.check_classes(layout, paths, class_names, source)
  if 'test' not in paths:
    labels = labels_of(paths['train'], class_of, class_names, source)
    records = splitting.stratified_split(
      labels, settings.test_fraction, class_names, source
    )
    train = paths['train']
    paths = {
      split_name: [train[number] for number in numbers]
      for split_name, numbers in records.items()
    }
  return load_paths(
    'image_folder',
    root,
    paths,
    class_of,
    class_names,
    settings=settings,
    allocate=allocate,
  )


def load_paths(
  name: str,
  root: epath.Path,
  paths: Mapping[str, list[str]],
  class_of: Mapping[str, str],
  class_names: tuple[str, ...],
  *,
  settings: DatasetSettings,
  allocate: Allocate,
  columns: Callable[[list[str]], dict[str, list]] = lambda _: {},
  mean: np.ndarray | None = None,
  std: np.ndarray | None = None,
) -> Dataset:
  """Decodes image files of known classes.

  Args:
    name: the data set's name.
    root: the folder that paths are relative to.
    paths: of 'train' and 'test', in canonical order.
    class_of: the class of each path.
    class_names: in label order.
    settings: `config.dataset`.
    allocate: for the decoded images.
    columns: paths -> `Split.columns`.
    mean: see `make_dataset`.
    std: see `make_dataset`.

  Raises:
    DataDietError: as `load_image_folder` does.
  """
  source = os.fspath(root)
  listings = {
    split_name: Listing(
      ids, labels_of(ids, class_of, class_names, source), columns(ids)
    )
    for split_name, ids in paths.items()
  }
  return decoded_dataset(
    name,
    listings,
    encoded_files(source, listings),
    class_names,
    settings=settings,
    allocate=allocate,
    source=source,
    mean=mean,
    std=std,
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


def list_images(root: epath.Path) -> list[str]:
  """Sorted paths of all images below a folder, relative to it.

  Other files are logged, one line per kind.

  Raises:
    DataDietError: if a folder cannot be listed, or there are no images.
  """
  source = os.fspath(root)
  found = tree.walk(source)
  images: list[str] = []
  others: list[str] = []
  for path in found.files:
    is_image = path.lower().endswith(EXTENSIONS)
    (images if is_image else others).append(path)
  if found.left_out:
    kinds = (f'{name} ({num})' for name, num in found.left_out.most_common())
    logging.info(
      '%s: left out what systems and tools keep there: %s',
      source,
      listed(list(kinds)),
    )
  if found.loops:
    logging.info(
      '%s: did not follow links to folders that they lie in: %s',
      source,
      listed(found.loops),
    )
  if not images:
    raise DataDietError(
      f'{source} holds no images{_endings(others)}; allowed: '
      f'{folder_layout.ALLOWED}, with {", ".join(EXTENSIONS)}'
    )
  others = [path for path in others if '/' in path]
  if others:
    logging.warning(
      '%s: passed over %s not named like images (%s): %s',
      source,
      counted(len(others), 'file'),
      ', '.join(EXTENSIONS),
      listed(others),
    )
  filled = {*folder_layout.folders_of(images)}
  empty = [name for name in found.folders if name not in filled]
  if empty:
    logging.warning(
      '%s: %d folders hold no images and are no classes: %s',
      source,
      len(empty),
      listed(empty),
    )
  return images


def _endings(paths: Sequence[str]) -> str:
  """How the names of files end that are no images, the most common first."""
  endings = Counter(os.path.splitext(path)[1].lower() for path in paths)
  if not endings:
    return ''
  named = (
    f'{num} {ending or "without an ending"}'
    for ending, num in endings.most_common()
  )
  return f' but files of other kinds ({listed(list(named))})'


def _tell_left_over(
  files: list[str], paths: Mapping[str, list[str]], source: str
) -> None:
  used = {path for split in paths.values() for path in split}
  left = [path for path in files if path not in used]
  if left:
    by_folder = Counter(path.rpartition('/')[0].split('/')[0] for path in left)
    named = (
      f'{num} in {folder}' if folder else f'{num} in no folder'
      for folder, num in sorted(by_folder.items())
    )
    logging.warning(
      '%s: left out %s in no folder of a class, or in none of the splits in '
      'use: %s',
      source,
      counted(len(left), 'image'),
      listed(list(named)),
    )


def labels_of(
  paths: Sequence[str],
  class_of: Mapping[str, str],
  class_names: tuple[str, ...],
  source: str,
) -> np.ndarray:
  """int32 labels of paths.

  Raises:
    DataDietError: for a folder that is not a class, or a name that is not
      text and so cannot be an id.
  """
  numbers = {name: label for label, name in enumerate(class_names)}
  labels = np.zeros(len(paths), np.int32)
  for position, path in enumerate(paths):
    name = class_of[path]
    if name not in numbers:
      raise DataDietError(
        f'{source}/{path}: {name!r} is not a class; the train split has '
        f'{listed(list(class_names))}'
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


def encoded_files(
  source: str, listings: Mapping[str, Listing]
) -> Iterator[EncodedImage]:
  """The files of listings whose ids are paths relative to a folder."""
  for split_name, listing in listings.items():
    for position, relative in enumerate(listing.ids):
      path = f'{source}/{relative}'
      yield EncodedImage(split_name, position, path, path)
