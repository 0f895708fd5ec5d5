"""The lock that keeps two programs out of one workdir at the same time.

It is on a local file, ends with its process and names its holder.

The library filelock was looked at: its lock names nobody and leaves its file
behind, and where a network file system cannot lock it falls back to a file that
outlives a killed process.
"""

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from absl import logging
from etils import epath

from datadiet.workdir import storage

try:
  import fcntl
except ImportError:  # Not on Windows.
  fcntl = None  # type: ignore[assignment]

LOCK = '.lock'


@contextmanager
def hold(root: epath.Path) -> Iterator[str]:
  """Holds a local workdir's lock, unless another process does.

  Remote workdirs and some network file systems have no locks: then none is
  held. A folder that was created only for the lock is removed with it.

  Args:
    root: the workdir, existing or not.

  Yields:
    '' if the lock is held here or there is none; else its holder, such as
    'process 123 on host'.
  """
  if storage.is_remote(root):
    yield ''
    return
  above = [folder for folder in (root, *root.parents) if not folder.exists()]
  with ExitStack() as stack:
    stack.callback(_remove_empty, above)
    holder = ''
    try:
      root.mkdir(parents=True, exist_ok=True)
      holder = stack.enter_context(hold_file(root / LOCK))
    except OSError as error:
      logging.warning(
        '%s cannot be locked (%s): start nothing else on it',
        root,
        error.strerror,
      )
    yield holder


@contextmanager
def hold_file(
  path: epath.PathLike, wait: Callable[[str], None] | None = None
) -> Iterator[str]:
  """Holds the lock of a local file, which is created for it and removed after.

  Args:
    path: of the file, in an existing folder.
    wait: called with the holder while another process has the lock; what it
      raises ends the waiting. None does not wait.

  Yields:
    '' if the lock is held here; else its holder.

  Raises:
    OSError: if the file system has no locks, or the file cannot be created.
  """
  path = os.fspath(path)
  descriptor, holder = _lock(path)
  while descriptor is None and wait is not None:
    wait(holder)
    descriptor, holder = _lock(path)
  try:
    yield holder
  finally:
    if descriptor is not None:
      os.unlink(path)
      os.close(descriptor)


def _lock(path: str) -> tuple[int | None, str]:
  """The locked file's descriptor, or None and the holder."""
  if fcntl is None:
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
  while True:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
      fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
      # The previous holder may have removed the file since it was opened.
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
