"""For anything that reads image files: folders of classes."""

import csv
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from etils import epath
from PIL import Image

from datadiet.data.sources.folder_layout import class_folders
from datadiet.errors import DataDietError
from datadiet.exporting.subset import Subset
from datadiet.runtime.progress import progress
from datadiet.workdir import storage

_INDEX = 'index.csv'
# What torchvision's ImageFolder takes for images where it is not told.
_TORCHVISION = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')


def write_image_folder(
  subset: Subset, folder: Path, final: Path, *, link: bool = False
) -> str:
  """Writes the kept images into one folder for each class.

  Images that come from an image folder are copied as they are, under the same
  path; others are written as PNG, which loses nothing, and named
  CLASS/example_index_id.png, so that sorted names are in order. index.csv
  lists them all in order.

  Args:
    subset: the examples.
    folder: to write to.
    final: the folder's name when it is complete.
    link: to make symbolic links to the originals, and no copies.

  Returns:
    The expression that opens it in torchvision, with the labels it has here.

  Raises:
    DataDietError: if there are no local files to link to.
  """
  write = image_writer(subset, link)
  folders = _write_tree(subset, folder, subset.originals, write)
  return _in_torchvision(subset, folders, final)


def image_writer(subset: Subset, link: bool) -> Callable[[int, Path], object]:
  """What writes the image of an example_index to a path.

  Raises:
    DataDietError: if there are no local files to link to.
  """
  originals = subset.originals
  if link:
    _check_linkable(subset)

  def write(i: int, path: Path) -> None:
    if originals is None:
      pil_image(subset.dataset.train.images[i]).save(path)
    elif link:
      path.symlink_to(originals / subset.dataset.train.ids[i])
    elif storage.is_remote(originals):
      storage.download(originals / subset.dataset.train.ids[i], path)
    else:
      shutil.copy2(originals / subset.dataset.train.ids[i], path)

  return write


def write_numbered(subset: Subset, folder: Path, link: bool) -> list[Path]:
  """Writes the kept images into one folder, named by example_index.

  Returns:
    Their paths, in order.

  Raises:
    DataDietError: if there are no local files to link to.
  """
  write = image_writer(subset, link)
  folder.mkdir(parents=True)
  width = len(str(subset.dataset.train.num_examples - 1))
  paths = []
  num_kept = len(subset.example_index)
  with progress(f'Writing {subset.name}', num_kept, 'images') as bar:
    for i in subset.example_index.tolist():
      extension = '.png'
      if subset.originals is not None:
        _, extension = os.path.splitext(str(subset.dataset.train.ids[i]))
      paths.append(folder / f'{i:0{width}d}{extension}')
      write(i, paths[-1])
      bar.advance(1)
  return paths


def _check_linkable(subset: Subset) -> None:
  if subset.originals is None:
    raise DataDietError(
      f'--link is for the files of an image_folder; {subset.dataset.name} is '
      'none: leave out --link'
    )
  if storage.is_remote(subset.originals):
    raise DataDietError(
      f'--link is for local files, and those of {subset.originals} are not: '
      'leave out --link'
    )


def _write_tree(
  subset: Subset,
  folder: Path,
  originals: Path | epath.Path | None,
  write: Callable[[int, Path], object],
) -> dict[str, bool]:
  """Calls `write(example_index, path)` for each image, and lists them.

  Returns:
    The folders of the classes -> whether there are images. There is one for
    each class: what numbers classes by their sorted folders gives the labels.
  """
  train = subset.dataset.train
  keep_paths = originals is not None and not subset.labels_are_changed
  classes = subset.dataset.class_names
  names = list(classes) if keep_paths else _folder_names(classes)
  homes = [names[label] for label in train.labels]
  if keep_paths:
    homes = class_folders(train.ids.tolist(), homes)
  width = len(str(train.num_examples - 1))
  rows, num_kept, filled = [], len(subset.example_index), set()
  with progress(f'Writing {subset.name}', num_kept, 'images') as bar:
    for i in subset.example_index.tolist():
      name, label = str(train.ids[i]), int(train.labels[i])
      path = name
      if not keep_paths:
        stem, extension = os.path.splitext(os.path.basename(name))
        if originals is None:
          stem, extension = name, '.png'
        stem = re.sub(r'[^\w.-]+', '_', stem)
        path = f'{names[label]}/{i:0{width}d}_{stem}{extension}'
      filled.add(homes[i])
      (folder / path).parent.mkdir(parents=True, exist_ok=True)
      write(i, folder / path)
      rows.append((path, i, name, label, subset.dataset.class_names[label]))
      bar.advance(1)
  with (folder / _INDEX).open('w', encoding='utf-8', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(('path', 'example_index', 'id', 'label', 'label_name'))
    writer.writerows(rows)
  roots = {os.path.dirname(path) for path in filled}
  folders = {os.path.join(root, name) for root in roots for name in names}
  for path in folders:
    (folder / path).mkdir(exist_ok=True)
  return {path: path in filled for path in folders}


def _in_torchvision(
  subset: Subset, folders: dict[str, bool], final: Path
) -> str:
  """The expression that opens what `_write_tree` wrote."""
  options = '' if all(folders.values()) else ', allow_empty=True'
  if subset.originals and not torchvision_takes(subset.ids):
    options += ', is_valid_file=os.path.isfile'
  roots = sorted({os.path.dirname(path) for path in folders})
  return ' + '.join(
    f'torchvision.datasets.ImageFolder({os.fspath(final / root)!r}{options})'
    for root in roots
  )


def torchvision_takes(paths: list[str]) -> bool:
  """Whether ImageFolder takes all of them for images without being told."""
  return all(path.lower().endswith(_TORCHVISION) for path in paths)


def _folder_names(class_names: tuple[str, ...]) -> list[str]:
  """Names of classes as names of folders, all different, sorted by label."""
  names = [re.sub(r'[/\\\0]', '_', name).strip('. ') for name in class_names]
  folded = {name.casefold() for name in names}
  if '' in folded or len(folded) < len(names) or names != sorted(names):
    width = len(str(len(names) - 1))
    names = [f'{i:0{width}d}_{name}' for i, name in enumerate(names)]
  return names


def pil_image(pixels) -> Image.Image:
  """uint8[height, width, channels] as an image of the library Pillow.

  Raises:
    DataDietError: if it has not 1, 3 or 4 channels.
  """
  channels = pixels.shape[-1]
  if channels not in (1, 3, 4):
    raise DataDietError(
      f'images with {channels} channels cannot be written as files; allowed: '
      '1, 3 or 4 channels'
    )
  return Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
