"""The text files of users, which other programs may have saved."""

from etils import epath

from datadiet.errors import DataDietError
from datadiet.workdir import artifacts


def read_lines(path: epath.Path) -> list[str]:
  """The lines of a user's text file; see `decoded`.

  They end with LF or all with CRLF: names of files may hold any other
  separator.
  """
  lines = decoded(artifacts.read_bytes(path), path, 'text').split('\n')
  if all(line.endswith('\r') for line in lines[:-1]):
    lines = [line.removesuffix('\r') for line in lines]
  return lines if lines[-1] else lines[:-1]


def decoded(content: bytes, path: epath.PathLike, kind: str) -> str:
  """A user's text in UTF-8, without the mark that Windows puts before it.

  Args:
    content: of the file.
    path: of the file, for the error.
    kind: what it is, such as 'a CSV file', for the error.

  Raises:
    DataDietError: if it is in another encoding.
  """
  try:
    return content.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    raise DataDietError(
      f'{path} is not {kind} in UTF-8 ({error}); save it in that encoding'
    ) from error
