"""Walks the folders of the data: every file once, and no error hidden."""

import errno
import os
from collections import Counter
from typing import NamedTuple

from datadiet.errors import DataDietError

# Names that systems and tools leave in folders; hidden ones are skipped too.
_DROPPINGS = {
  '__pycache__',
  '_gsdata_',
  '@eadir',
  '#recycle',
  '#snapshot',
  '$recycle.bin',
  '__macosx',
  'desktop.ini',
  'ehthumbs.db',
  'lost+found',
  'system volume information',
  'thumbs.db',
}


class Tree(NamedTuple):
  """What lies below a folder; paths are relative to it, with '/'.

  Attributes:
    files: sorted; with links to files, also those that lead nowhere.
    folders: sorted; also those without files.
    left_out: how often each name was met that a system or tool left there.
    loops: links to a folder that they lie in; not followed.
  """

  files: list[str]
  folders: list[str]
  left_out: Counter[str]
  loops: list[str]


def walk(root: os.PathLike | str) -> Tree:
  """Lists a local folder and all folders below it, following links.

  Args:
    root: the folder.

  Raises:
    DataDietError: if a folder cannot be listed or a name not be looked at:
      what cannot be seen would otherwise count as not being there.
  """
  tree = Tree([], [], Counter(), [])
  try:
    _walk(os.fspath(root), '', (), tree)
  except OSError as error:
    raise _unreadable(error, os.fspath(root)) from error
  tree.files.sort()
  tree.folders.sort()
  tree.loops.sort()
  return tree


def _unreadable(error: OSError, root: str) -> DataDietError:
  return DataDietError(
    f'{error.filename or root} cannot be read ({error.strerror or error}), so '
    f'what belongs to {root} is not known; make it readable or move it away'
  )


def _walk(
  folder: str, prefix: str, above: tuple[tuple[int, int], ...], tree: Tree
) -> None:
  stat = os.stat(folder)
  here = (stat.st_dev, stat.st_ino)
  if here in above:
    tree.loops.append(prefix.rstrip('/'))
    return
  if prefix:
    tree.folders.append(prefix.rstrip('/'))
  with os.scandir(folder) as entries:
    listed = list(entries)
  for entry in listed:
    name = entry.name
    if name.startswith('.') or name.casefold() in _DROPPINGS:
      tree.left_out['._*' if name.startswith('._') else name] += 1
    elif _is_folder(entry):
      _walk(entry.path, f'{prefix}{name}/', (*above, here), tree)
    elif entry.is_symlink() or entry.is_file():
      tree.files.append(prefix + name)
    else:  # A pipe, which would be waited for, or a device.
      tree.left_out[name] += 1


def _is_folder(entry: os.DirEntry) -> bool:
  try:
    return entry.is_dir()
  except OSError as error:
    # A link that leads to itself is a broken file, told of when it is read.
    if error.errno == errno.ELOOP:
      return False
    raise
