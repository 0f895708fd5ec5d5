"""Reads every file of a workdir whole, to see that none is half-written."""

import csv
import io
from pathlib import Path

from PIL import Image

from datadiet.errors import DataDietError
from datadiet.workdir import artifacts, checkpoints
from datadiet.workdir.lock import LOCK


class HalfWritten(Exception):
  """A file that no reader should ever have seen."""


def _check_csv(path: Path) -> None:
  text = path.read_text()
  rows = list(csv.reader(io.StringIO(text)))
  if not text.endswith('\n') or len({len(row) for row in rows}) != 1:
    raise DataDietError(f'{path} is cut off')


def _check_lines(path: Path) -> None:
  if not path.read_text().endswith('\n'):
    raise DataDietError(f'{path} is cut off')


def _check_png(path: Path) -> None:
  with Image.open(path) as image:
    image.load()


def _check_html(path: Path) -> None:
  if not path.read_text().rstrip().endswith('</html>'):
    raise DataDietError(f'{path} is cut off')


_READERS = {
  '.json': artifacts.read_json,
  '.npy': artifacts.read_npy,
  '.npz': artifacts.read_npz,
  '.csv': _check_csv,
  '.png': _check_png,
  '.html': _check_html,
  '.txt': _check_lines,
}


def _check_checkpoints(folder: Path, is_finished: bool) -> None:
  """All that a start would use, by their hashes."""
  for step in checkpoints.full_steps(folder.parent):
    checkpoints.verify(folder.parent, step)
  for step in checkpoints.variable_steps(folder.parent):
    checkpoints.load_variables(folder.parent, step)
  for path in folder.iterdir():
    if path.name.endswith('.damaged'):
      raise DataDietError(f'{path.name} was put aside')
    if is_finished and not path.name.isdigit():
      raise DataDietError(f'{path.name} is left over')


def check_whole(workdir: Path, is_finished: bool = False) -> int:
  """Reads all files.

  Args:
    workdir: where.
    is_finished: whether nothing may be left of what a kill cut off. Before
      that, a killed process may have left files under temporary names, which
      nobody reads.

  Returns:
    How many files and checkpoints it has read.

  Raises:
    HalfWritten: names a file that is cut off, or has no business there.
  """
  num_read = 0
  for path in sorted(workdir.rglob('*')):
    try:
      if path.name == 'checkpoints':
        _check_checkpoints(path, is_finished)
      elif '/checkpoints/' in str(path) or not path.is_file():
        continue
      elif path.suffix in _READERS:
        _READERS[path.suffix](path)
      elif is_finished or (path.suffix != '.tmp' and path.name != LOCK):
        raise DataDietError('is left over, or of an unknown kind')
    except Exception as error:  # Each reader has its own.
      raise HalfWritten(f'{path}: {error}') from error
    num_read += 1
  return num_read
