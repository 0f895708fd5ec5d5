"""Reads .tar.gz archives in one pass, without extracting them."""

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from etils import epath

from datadiet.errors import DataDietError


def archive_members(
  path: epath.Path,
) -> Iterator[tuple[str, Callable[[], bytes]]]:
  """Names of the files in a .tar.gz, and for each how to read it, in order.

  A file must be read before the next is asked for.

  Args:
    path: of the archive; may be remote.

  Raises:
    DataDietError: if the archive is cut short or damaged.
  """

  def reader(member: tarfile.TarInfo) -> Callable[[], bytes]:
    def read() -> bytes:
      with _errors_of(path):
        return archive.extractfile(member).read()

    return read

  with (
    _errors_of(path),
    path.open('rb') as file,
    gzip.GzipFile(fileobj=file) as unzipped,
    tarfile.open(fileobj=unzipped, mode='r|') as archive,
  ):
    for member in archive:
      # tarfile remembers all members, which may be many.
      archive.members.clear()
      if member.isfile():
        yield member.name.removeprefix('./'), reader(member)
    # Only its end tells whether an archive is complete.
    while unzipped.read(2**20):
      pass


@contextmanager
def _errors_of(path: epath.Path) -> Iterator[None]:
  try:
    yield
  except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise DataDietError(
      f'{path} is cut short or damaged ({reason}); download it again'
    ) from error
