"""For anything that reads image files: lists of paths, folders of classes."""

import csv
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from etils import epath
from PIL import Image

from datadiet import storage
from datadiet.errors import DataDietError
from datadiet.exporting.kept import Kept
from datadiet.progress import progress

# Sources whose ids are the paths of files.
_WITH_PATHS = ('image_folder', 'cinic10')
_INDEX = 'index.csv'


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


def write_image_folder(kept: Kept, folder: Path, final: Path) -> None:
  """Writes the kept images into one folder for each class.

  Images that come from an image folder are copied as they are, under the same
  path; others are written as PNG, which loses nothing, and named
  CLASS/example_index_id.png, so that sorted names are in order. index.csv
  lists them all in order.
  """
  del final
  originals = _originals(kept)
  if originals is None:
    _write_tree(kept, folder, '.png', lambda i, path: _write_png(kept, i, path))
  else:
    _write_tree(
      kept,
      folder,
      None,
      lambda i, path: _copy(originals / kept.dataset.train.ids[i], path),
    )


def write_linked_folder(kept: Kept, folder: Path, final: Path) -> None:
  """As `write_image_folder`, with symbolic links to the originals.

  Raises:
    DataDietError: if the data is no image folder.
  """
  del final
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
  _write_tree(
    kept,
    folder,
    None,
    lambda i, path: path.symlink_to(originals / kept.dataset.train.ids[i]),
  )


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
  suffix: str | None,
  write: Callable[[int, Path], object],
) -> None:
  """Calls `write(example_index, path)` for each image, and lists them."""
  train = kept.dataset.train
  names = _folder_names(kept.dataset.class_names)
  keep_paths = suffix is None and not kept.labels_are_changed
  width = len(str(train.num_examples - 1))
  rows, num_kept = [], len(kept.example_index)
  with progress(f'Writing {kept.name}', num_kept, 'images') as bar:
    for i in kept.example_index.tolist():
      name, label = str(train.ids[i]), int(train.labels[i])
      path = name
      if not keep_paths:
        stem, extension = os.path.splitext(os.path.basename(name))
        stem = re.sub(r'[^\w.-]+', '_', stem if suffix is None else name)
        path = f'{names[label]}/{i:0{width}d}_{stem}{suffix or extension}'
      (folder / path).parent.mkdir(parents=True, exist_ok=True)
      write(i, folder / path)
      rows.append((path, i, name, label))
      bar.advance(1)
  with (folder / _INDEX).open('w', newline='') as file:
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(('path', 'example_index', 'id', 'label'))
    writer.writerows(rows)


def _folder_names(class_names: tuple[str, ...]) -> list[str]:
  """Names of classes as names of folders, all different."""
  names = [re.sub(r'[/\\\0]', '_', name).strip('. ') for name in class_names]
  folded = {name.casefold() for name in names}
  if '' in folded or len(folded) < len(names):
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
