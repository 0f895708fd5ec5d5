"""Atomic writes: files and folders that exist completely or not at all.

A local one is made under a temporary name and renamed; an object is written by
one request. What a killed process leaves has a temporary name, which is never
read and which `clear_half_written` removes.
"""

import errno
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from etils import epath

from datadiet.errors import DataDietError
from datadiet.workdir import storage

MANIFEST = 'manifest.json'
_TEMPORARY = re.compile(r'\..*\.[0-9a-f]{8}\.tmp')
# Messages of systems and libraries for a full disk or an exceeded quota.
_NO_SPACE = 'no space left on device'
_NO_SPACE_NUMBERS = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def atomic_path(path: epath.PathLike) -> Iterator[epath.Path]:
  """Creates a local file or folder atomically: completely or not at all.

  Args:
    path: of the file or folder. A file that is there is replaced; a folder is
      removed once the new one is complete.

  Yields:
    A temporary path beside it, for the caller to make the file or folder at.

  Raises:
    DataDietError: if it cannot be written (disk full, read-only, ...); then,
      and after any other error, nothing is left of the new content.
  """
  path = epath.Path(path)
  temporary = temporary_beside(path)
  with write_errors_told(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
      yield temporary
      move_into_place(temporary, path)
    except BaseException:
      _remove(temporary)
      raise


@contextmanager
def write_errors_told(path: epath.PathLike) -> Iterator[None]:
  """Turns errors of writing into one sentence for the user.

  Args:
    path: of what is written, for the message.

  Raises:
    DataDietError: for a full disk, in whatever words, and any `OSError`; other
      errors stay what they are.
  """
  try:
    yield
  except Exception as error:
    reason = _reason(error)
    if reason is None:
      raise
    raise DataDietError(f'cannot write {path}: {reason}') from error


@contextmanager
def atomic_folder(folder: epath.PathLike) -> Iterator[epath.Path]:
  """Creates a folder with a manifest atomically: completely or not at all.

  A local one is made under a temporary name. On an object store the old
  manifest goes first, and the new one, to be written last, completes it.

  Args:
    folder: local or remote; replaced if it is there.

  Yields:
    The folder to write to.

  Raises:
    DataDietError: if it cannot be written.
  """
  folder = epath.Path(folder)
  if storage.is_remote(folder):
    storage.remove(folder / MANIFEST)
    yield folder
    return
  with atomic_path(folder) as temporary:
    temporary.mkdir()
    yield temporary


def temporary_beside(path: epath.Path) -> epath.Path:
  """A new temporary name beside a file or folder."""
  return path.parent / f'.{path.name}.{uuid.uuid4().hex[:8]}.tmp'


def temporaries_beside(path: epath.Path) -> list[epath.Path]:
  """What killed processes left of a file or folder, under temporary names."""
  return [
    found
    for found in path.parent.iterdir()
    if found.name.startswith(f'.{path.name}.')
    and _TEMPORARY.fullmatch(found.name)
  ]


def move_into_place(temporary: epath.Path, path: epath.Path) -> None:
  """Gives a complete file or folder its name; replaces what has it.

  Raises:
    OSError: if it cannot be renamed.
  """
  if temporary.is_dir() and path.is_dir():
    old = temporary_beside(path)
    os.replace(path, old)
    os.replace(temporary, path)
    shutil.rmtree(old)
  else:
    os.replace(temporary, path)


def _remove(path: epath.Path) -> None:
  if os.path.isdir(path) and not os.path.islink(path):
    shutil.rmtree(path)
  elif os.path.lexists(path):
    os.unlink(path)


def is_full(error: BaseException) -> bool:
  """Whether a write failed because of a full disk or an exceeded quota.

  Libraries that write files wrap the system's error in one of their own, or
  have its text alone.
  """
  cause: BaseException | None = error
  while cause is not None:
    text = str(cause).lower()
    if getattr(cause, 'errno', None) in _NO_SPACE_NUMBERS or (
      _NO_SPACE in text or 'disk quota exceeded' in text
    ):
      return True
    cause = cause.__cause__ or cause.__context__
  return False


def _reason(error: Exception) -> str | None:
  """The reason a write failed, in one line; None if the error states it."""
  if is_full(error):
    # An error from this module names the file already.
    return None if isinstance(error, DataDietError) else _NO_SPACE
  if isinstance(error, OSError):
    return error.strerror or str(error)
  return None


def write_bytes(path: epath.PathLike, content: bytes) -> None:
  """Writes a file so that readers see the old content or the new, whole.

  Raises:
    DataDietError: if the file cannot be written (disk full, read-only, ...).
  """
  path = epath.Path(path)
  if storage.is_remote(path):
    storage.write_bytes(path, content)
    return
  with atomic_path(path) as temporary:
    write_file(temporary, content)


def write_file(path: epath.PathLike, content: bytes) -> None:
  """Writes a new file inside of `atomic_path` or `atomic_folder`.

  Raises:
    OSError: if a local file cannot be written.
  """
  if storage.is_remote(path):
    storage.write_bytes(path, content)
    return
  with epath.Path(path).open('wb') as file:
    file.write(content)
    file.flush()
    # Otherwise a power loss may leave the new name without the content.
    os.fsync(file.fileno())


def clear_half_written(root: epath.PathLike) -> None:
  """Removes temporary files that killed processes left below a folder.

  No process may be writing there.
  """
  if storage.is_remote(root):  # Objects are created atomically.
    return
  for folder, below, names in epath.Path(root).walk():
    for name in filter(_TEMPORARY.fullmatch, [*below, *names]):
      _remove(folder / name)
    below[:] = [name for name in below if not _TEMPORARY.fullmatch(name)]
