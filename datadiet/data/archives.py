"""Unpacks .tar.gz archives temporarily, while they are read."""

import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from etils import epath

from datadiet.data import cache
from datadiet.errors import DataDietError
from datadiet.runtime import stopping


@contextmanager
def unpacked(path: epath.Path, cache_dir: str) -> Iterator[epath.Path]:
  """A temporary folder with the content of an archive.

  Args:
    path: of the archive, which is local.
    cache_dir: `config.dataset.cache_dir`, beside which there is space.

  Raises:
    DataDietError: if the archive is cut short or damaged, or the disk is full;
      or what is raised while the folder is read, with the archive in its place.
    Preempted: if the process was asked to stop.
  """
  folder = cache.scratch_folder(path.name, {'archive': str(path)}, cache_dir)
  try:
    _unpack(path, folder)
    try:
      yield folder
    except DataDietError as error:
      message = str(error).replace(str(folder), str(path))
      raise type(error)(message) from error
  finally:
    shutil.rmtree(folder, ignore_errors=True)


def _unpack(path: epath.Path, folder: epath.Path) -> None:
  try:
    with tarfile.open(path) as archive:
      for member in archive:
        if member.isfile() or member.isdir():
          archive.extract(member, folder, filter='data')
        stopping.raise_if_requested()
      # Only the end of an archive shows whether it is complete.
      while archive.fileobj.read(2**20):
        pass
  except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if getattr(error, 'errno', None):
      raise DataDietError(
        f'{path} cannot be unpacked to {folder.parent}: {reason}'
      ) from error
    raise DataDietError(
      f'{path} is cut short or damaged ({reason}); download it again'
    ) from error
