"""Object stores: what gs:// and s3:// paths need beside `etils.epath`.

A store replaces a whole object by one request, and can neither rename folders
nor append to files. The libraries retry transient errors: how often, and with
which waits, is set here.
"""

import contextlib
import glob
import importlib.util
import logging as std_logging
import os
import re
import shutil
import traceback
import uuid
from collections.abc import Callable, Sequence

import fsspec
import fsspec.callbacks
from etils import epath

from datadiet.errors import ConfigError, DataDietError
from datadiet.runtime import extras

# The library for each kind of path, and the extra that installs it.
_SCHEMES = {'gs': 'gcsfs', 's3': 's3fs'}
# Bounds the memory of files that wait to be copied.
_FILES_AT_A_TIME = 4096

# Read by the libraries at first use. The user's own variables take precedence.
for _name, _value in {
  # TensorFlow takes seconds to import and cannot read s3://.
  'EPATH_USE_TF': 'false',
  # The library would ask an API for each bucket's kind, which needs a
  # permission of its own.
  'GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT': 'false',
  # Random waits of up to 1, 2, 4, 8, 16 seconds, as gcsfs has by default.
  'AWS_RETRY_MODE': 'standard',
  'AWS_MAX_ATTEMPTS': '6',
}.items():
  os.environ.setdefault(_name, _value)
for _name in _SCHEMES:
  # Other processes write, too: listings must not be cached.
  fsspec.config.conf.setdefault(_name, {}).setdefault(
    'use_listings_cache', False
  )
# It also logs what it raises, with a traceback.
std_logging.getLogger('gcsfs').setLevel(std_logging.CRITICAL)


def is_remote(path: epath.PathLike) -> bool:
  """Whether a path is in an object store."""
  return '://' in os.fspath(path)


def _filesystem(path: epath.PathLike) -> fsspec.AbstractFileSystem:
  return fsspec.core.url_to_fs(os.fspath(path))[0]


def _scheme(path: epath.PathLike) -> str:
  return os.fspath(path).partition('://')[0]


def check_usable(
  path: epath.PathLike, name: str, *, to_write: bool = False
) -> None:
  """Checks that a path can be accessed, whether it exists or not.

  Args:
    path: any path; local ones are not checked.
    name: of the flag or setting, for messages.
    to_write: whether to check writing, too, by an object that is removed again.

  Raises:
    ConfigError: if nothing reads such paths here, or the store refuses it.
    DataDietError: if the store cannot be reached.
  """
  if not is_remote(path):
    return
  _check_library(path, name)
  try:
    if to_write:
      probe = epath.Path(path) / f'.probe.{uuid.uuid4().hex[:8]}'
      write_bytes(probe, b'')
      remove(probe)
    else:
      epath.Path(path).exists()
  except Exception as error:
    told = as_store_error(error)
    if told is None:
      raise
    kind = DataDietError if told.is_transient else ConfigError
    raise kind(f'{name}: {path} cannot be used: {told.reason}') from error


def check_scheme(path: epath.PathLike, name: str) -> None:
  """Refuses a path in a kind of store that nothing here reads.

  Args:
    path: any path.
    name: of the flag or setting, for the message.
  """
  if is_remote(path) and _scheme(path) not in _SCHEMES:
    known = ', '.join(f'{scheme}://' for scheme in _SCHEMES)
    raise ConfigError(
      f'{name}: {os.fspath(path)!r} is not allowed; allowed: a local path or '
      f'one on {known}'
    )


def _check_library(path: epath.PathLike, name: str) -> None:
  check_scheme(path, name)
  library = _SCHEMES[_scheme(path)]
  if importlib.util.find_spec(library) is None:
    raise ConfigError(str(extras.missing_library(f'{name}: {path}', library)))


class StoreError(DataDietError):
  """An error of an object store, after its library's retries.

  Attributes:
    reason: in one line.
    is_transient: whether the request may succeed later.
  """

  def __init__(self, reason: str, is_transient: bool):
    super().__init__(f'the object store failed: {reason}')
    self.reason = reason
    self.is_transient = is_transient


# By the name of the exception: its library may not be installed.
_REASONS = {
  'NoCredentialsError': 'no credentials were found',
  'DefaultCredentialsError': 'no credentials were found',
  'NoSuchBucket': 'there is no such bucket',
  'FileNotFoundError': 'there is no such bucket or object',
  'PermissionError': 'access denied',
}


def as_store_error(error: Exception) -> StoreError | None:
  """A `StoreError` for an exception from an object store; else None."""
  if isinstance(error, DataDietError) or not any(
    frame.f_globals.get('__name__', '').partition('.')[0] == 'fsspec'
    for frame, _ in traceback.walk_tb(error.__traceback__)
  ):
    return None
  chain = [error, *filter(None, (error.__cause__,))]
  names = {kind.__name__ for one in chain for kind in type(one).__mro__}
  known = [reason for name, reason in _REASONS.items() if name in names]
  lines = str(error).strip().splitlines() or [type(error).__name__]
  refused = bool(known) or 'Forbidden' in lines[0] or 'denied' in lines[0]
  refused = refused or getattr(error, 'code', None) in (400, 401, 403)
  reason = f'{known[0]} ({lines[0][:200]})' if known else lines[0][:300]
  return StoreError(reason, is_transient=not refused)


def read_bytes(path: epath.PathLike) -> bytes:
  """Reads a file; of an object, one consistent version.

  Raises:
    FileNotFoundError: if it does not exist.
  """
  if is_remote(path):
    return _filesystem(path).cat_file(os.fspath(path))
  return epath.Path(path).read_bytes()


def write_bytes(path: epath.PathLike, content: bytes) -> None:
  """Writes an object atomically: on failure the old one stays.

  Args:
    path: in an object store.
    content: of the object.
  """
  _filesystem(path).pipe_file(os.fspath(path), content)


def upload(source: epath.PathLike, path: epath.PathLike) -> None:
  """Writes a local file to an object, in parts if it is large; see above."""
  _filesystem(path).put_file(os.fspath(source), os.fspath(path))


def download(path: epath.PathLike, target: epath.PathLike) -> None:
  """Reads an object into a local file."""
  _filesystem(path).get_file(os.fspath(path), os.fspath(target))


def files_below(root: epath.PathLike) -> dict[str, tuple]:
  """All objects below a folder, or the one object, by one listing.

  Returns:
    {path below the root, or '' for the root itself: (size in bytes, marks that
    change with the content)}, in order.
  """
  filesystem = _filesystem(root)
  # Stores differ in which of these they have.
  marks = ('ETag', 'etag', 'md5Hash', 'generation', 'LastModified', 'updated')
  start = len(filesystem._strip_protocol(os.fspath(root)))
  return {
    name[start:].removeprefix('/'): (
      entry['size'],
      str(next((entry[mark] for mark in marks if mark in entry), '')),
    )
    for name, entry in filesystem.find(os.fspath(root), detail=True).items()
    # Web consoles create empty objects with such names to show folders.
    if not name.endswith('/')
  }


def matching(root: epath.PathLike, patterns: Sequence[str]) -> list[epath.Path]:
  """The files below a folder whose relative paths match one of some patterns.

  Args:
    root: the folder, with any characters in its name.
    patterns: such as '*/manifest.json': each * is one name.
  """
  if is_remote(root):
    names = [
      name
      for name in files_below(root)
      if any(_matches(name, pattern) for pattern in patterns)
    ]
  else:
    names = [
      name
      for pattern in patterns
      for name in glob.glob(pattern, root_dir=os.fspath(root))
    ]
  return [epath.Path(root) / name for name in sorted(names)]


def _matches(name: str, pattern: str) -> bool:
  return (
    re.fullmatch(re.escape(pattern).replace(r'\*', '[^/]*'), name) is not None
  )


def copy_here(
  root: epath.PathLike,
  target: epath.PathLike,
  files: Sequence[str],
  on_bytes: Callable[[int], None],
) -> None:
  """Reads objects into local files, many at a time.

  Args:
    root: the folder, or the object.
    target: the local folder, or the file; parents are created.
    files: keys of `files_below`.
    on_bytes: called in another thread with the number of new bytes; what it
      raises ends the copying.
  """
  filesystem, callback = _filesystem(root), _Callback(on_bytes)
  for start in range(0, len(files), _FILES_AT_A_TIME):
    names = files[start : start + _FILES_AT_A_TIME]
    filesystem.get(
      [os.path.join(os.fspath(root), name).rstrip('/') for name in names],
      [os.path.join(os.fspath(target), name).rstrip('/') for name in names],
      callback=callback,
    )


class _Callback(fsspec.callbacks.Callback):
  """Reports the bytes received of all files."""

  def __init__(self, on_bytes: Callable[[int], None]):
    super().__init__()
    self._on_bytes = on_bytes

  def branched(self, path_1, path_2, **options) -> fsspec.callbacks.Callback:
    """A callback for one of the files; this one counts files."""
    child = fsspec.callbacks.Callback()
    child.relative_update = self._on_bytes
    return child


def remove(path: epath.PathLike) -> None:
  """Removes a file or an object, if it exists."""
  with contextlib.suppress(FileNotFoundError):
    if is_remote(path):
      # `rm`, which `epath` would call, takes [, ? and * for patterns.
      _filesystem(path).rm_file(os.fspath(path))
    else:
      os.unlink(path)


def remove_folder(folder: epath.PathLike) -> None:
  """Removes a folder and its content, if it exists."""
  with contextlib.suppress(FileNotFoundError):
    if not is_remote(folder):
      shutil.rmtree(folder)
    elif not glob.has_magic(os.fspath(folder)):
      _filesystem(folder).rm(os.fspath(folder), recursive=True)
    else:  # `rm` would take the folder's name for a pattern.
      for name in files_below(folder):
        remove(epath.Path(folder) / name)


def move(folder: epath.Path, target: epath.Path) -> None:
  """Renames a folder, local or remote (remote: one object after the other)."""
  if not is_remote(folder):
    os.rename(folder, target)
    return
  filesystem = _filesystem(folder)
  for name in files_below(folder):
    filesystem.cp_file(os.fspath(folder / name), os.fspath(target / name))
  remove_folder(folder)
