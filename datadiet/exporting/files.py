"""For anything that reads image files: lists of paths, folders of classes."""

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
from datadiet.exporting.kept import Kept
from datadiet.runtime.progress import progress
from datadiet.workdir import storage

# Sources whose ids are the paths of files.
_WITH_PATHS = ('image_folder', 'cinic10')
_INDEX = 'index.csv'
# What torchvision's ImageFolder takes for images where it is not told.
_TORCHVISION = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')


def write_file_list(kept: Kept, path: Path, final: Path) -> None:
  """Writes the paths of the kept images below `data_dir`, one a line.

  Raises:
    DataDietError: if the data does not come from files.
  """
  del final
  ids = kept.ids
  if kept.dataset.name not in _WITH_PATHS or not all('/' in i for i in ids):
    raise DataDietError(
      f'the format file_list is for images in files; those of '
      f'{kept.dataset.name} have none: use the format image_folder'
    )
  path.write_text(''.join(f'{name}\n' for name in ids))


def write_image_folder(kept: Kept, folder: Path, final: Path) -> str:
  """Writes the kept images into one folder for each class.

  Images that come from an image folder are copied as they are, under the same
  path; others are written as PNG, which loses nothing, and named
  CLASS/example_index_id.png, so that sorted names are in order. index.csv
  lists them all in order.

  Returns:
    The expression that opens it in torchvision, with the labels it has here.
  """
  originals = _originals(kept)

  def write(i: int, path: Path) -> None:
    if originals is None:
      _write_png(kept, i, path)
    else:
      _copy(originals / kept.dataset.train.ids[i], path)

  folders = _write_tree(kept, folder, originals, write)
  return _in_torchvision(kept, folders, final)


def write_linked_folder(kept: Kept, folder: Path, final: Path) -> str:
  """As `write_image_folder`, with symbolic links to the originals.

  Raises:
    DataDietError: if the data is no image folder.
  """
  originals = _originals(kept)
  if originals is None:
    raise DataDietError(
      f'the format linked_folder links to the files of an image_folder; '
      f'{kept.dataset.name} is none: use the format image_folder'
    )
  if storage.is_remote(originals):
    raise DataDietError(
      'the format linked_folder links to local files, and those of '
      f'{originals} are not: use the format image_folder'
    )
  folders = _write_tree(
    kept,
    folder,
    originals,
    lambda i, path: path.symlink_to(originals / kept.dataset.train.ids[i]),
  )
  return _in_torchvision(kept, folders, final)


def _originals(kept: Kept) -> Path | epath.Path | None:
  """The folder that ids are paths in; None for data that is no folder."""
  if kept.dataset.name != 'image_folder':
    return None
  if storage.is_remote(kept.settings.data_dir):
    return epath.Path(kept.settings.data_dir)
  return Path(kept.settings.data_dir).expanduser().absolute()


def _copy(original: Path | epath.Path, path: Path) -> None:
  if storage.is_remote(original):
    storage.download(original, path)
  else:
    shutil.copy2(original, path)


def _write_tree(
  kept: Kept,
  folder: Path,
  originals: Path | epath.Path | None,
  write: Callable[[int, Path], object],
) -> dict[str, bool]:
  """Calls `write(example_index, path)` for each image, and lists them.

  Returns:
    The folders of the classes -> whether there are images. There is one for
    each class: what numbers classes by their sorted folders gives the labels.
  """
  train = kept.dataset.train
  keep_paths = originals is not None and not kept.labels_are_changed
  names = kept.dataset.class_names
  names = list(names) if keep_paths else _folder_names(names)
  homes = [names[label] for label in train.labels]
  if keep_paths:
    homes = class_folders(train.ids.tolist(), homes)
  width = len(str(train.num_examples - 1))
  rows, num_kept, filled = [], len(kept.example_index), set()
  with progress(f'Writing {kept.name}', num_kept, 'images') as bar:
    for i in kept.example_index.tolist():
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
      rows.append((path, i, name, label, kept.dataset.class_names[label]))
      bar.advance(1)
  with (folder / _INDEX).open('w', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(('path', 'example_index', 'id', 'label', 'label_name'))
    writer.writerows(rows)
  roots = {os.path.dirname(path) for path in filled}
  folders = {os.path.join(root, name) for root in roots for name in names}
  for path in folders:
    (folder / path).mkdir(exist_ok=True)
  return {path: path in filled for path in folders}


def _in_torchvision(kept: Kept, folders: dict[str, bool], final: Path) -> str:
  """The expression that opens what `_write_tree` wrote."""
  options = '' if all(folders.values()) else ', allow_empty=True'
  if _originals(kept) and not torchvision_takes(kept.ids):
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


def _write_png(kept: Kept, i: int, path: Path) -> None:
  pil_image(kept.dataset.train.images[i]).save(path)
