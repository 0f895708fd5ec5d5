"""One program at a time in a workdir: a lock that ends with its process."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from absl import logging
from etils import epath

from datadiet.workdir import storage

LOCK = '.lock'


@contextmanager
def hold(root: epath.Path) -> Iterator[str]:
  """Holds a local workdir's lock, unless somebody else does.

  Remote workdirs have none, and some network file systems know none: then it
  goes on without. A folder that was made for the lock alone goes with it.

  Args:
    root: the workdir, there or not.

  Yields:
    '' where the lock is held here, or where there is none; else who has it, as
    'process 123 on host'.
  """
  if storage.is_remote(root):
    yield ''
    return
  path = os.path.join(os.fspath(root), LOCK)
  above = [folder for folder in (root, *root.parents) if not folder.exists()]
  descriptor, holder = None, ''
  try:
    root.mkdir(parents=True, exist_ok=True)
    descriptor, holder = _lock(path)
  except OSError as error:
    logging.warning(
      '%s cannot be locked (%s): start nothing else on it', root, error.strerror
    )
  try:
    yield holder
  finally:
    if descriptor is not None:
      os.unlink(path)
      os.close(descriptor)
    _remove_empty(above)


def _lock(path: str) -> tuple[int | None, str]:
  """The locked file's descriptor, or None and who has it."""
  while True:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      # Whoever had it may have removed the file since it was opened.
      if _is_same(descriptor, path):
        os.truncate(descriptor, 0)
        text = f'process {os.getpid()} on {socket.gethostname()}'
        os.pwrite(descriptor, text.encode(), 0)
        return descriptor, ''
    except BlockingIOError:
      holder = os.pread(descriptor, 300, 0).decode(errors='replace')
      os.close(descriptor)
      return None, holder or 'another process'
    except BaseException:
      os.unlink(path)
      os.close(descriptor)
      raise
    os.close(descriptor)


def _is_same(descriptor: int, path: str) -> bool:
  try:
    return os.path.samestat(os.fstat(descriptor), os.stat(path))
  except FileNotFoundError:
    return False


def _remove_empty(folders: list[epath.Path]) -> None:
  for folder in folders:
    try:
      os.rmdir(folder)
    except OSError:  # What was written is in there, or it was never made.
      return
