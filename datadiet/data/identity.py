"""Identifies the files that a data set was decoded from.

Of each file its path, size, times and inode count, and of some files what they
hold: so other content is noticed even where names, sizes and times of writing
are the same, as after unpacking another archive or renaming two folders into
each other. Files copied elsewhere count as others.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence

from datadiet.data import tree
from datadiet.workdir import storage

# Few files are read whole if they are this small together; else some of many.
_WHOLE_BYTES = 2**26
_NUM_SAMPLED = 64
_SAMPLED_BYTES = 2**16


def source_identity(root: os.PathLike | str) -> list:
  """A hash of the files below a folder, or of one file.

  Args:
    root: local, or remote: there names, sizes and the store's marks count.

  Returns:
    [number of files, hash], for `cache.cached`.

  Raises:
    DataDietError: if a folder cannot be listed.
  """
  digest = hashlib.sha256()

  def take(entry: tuple) -> None:
    digest.update(repr(entry).encode(errors='surrogateescape'))

  if storage.is_remote(root):
    found = storage.files_below(root)
    for name, marks in found.items():
      take((name, *marks))
    return [len(found), digest.hexdigest()[:32]]
  root = os.path.expanduser(root)
  files = {os.path.basename(root): root}
  if os.path.isdir(root):
    files = {name: os.path.join(root, name) for name in tree.walk(root).files}
  sizes = {}
  for name, path in files.items():
    try:
      stat = os.stat(path)
      sizes[path] = stat.st_size
    except OSError:
      # A broken link is found, and named, when the images are read.
      stat = os.lstat(path)
    times = stat.st_mtime_ns, stat.st_ctime_ns
    take((name, stat.st_size, *times, stat.st_ino))
  for content in _contents(list(sizes), sum(sizes.values())):
    take((content,))
  return [len(files), digest.hexdigest()[:32]]


def _contents(paths: Sequence[str], num_bytes: int) -> Iterator[str]:
  """Hashes of all files or, where they are many or large, of some."""
  length = _SAMPLED_BYTES
  if len(paths) <= _NUM_SAMPLED and num_bytes <= _WHOLE_BYTES:
    length = _WHOLE_BYTES
  for path in paths[:: max(1, len(paths) // _NUM_SAMPLED)]:
    try:
      with open(path, 'rb') as file:
        yield hashlib.sha256(file.read(length)).hexdigest()
    except OSError:
      yield ''  # Likewise.
