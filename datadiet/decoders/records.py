"""Encoded images in a file of records (ArrayRecord), read by their numbers."""

import dataclasses
import threading
from typing import Any

# A reader without threads of its own costs little memory; processes and threads
# here read and decode side by side.
_READER_OPTIONS = 'readahead_buffer_size:0,max_parallelism:0'
_THREADS = threading.local()


@dataclasses.dataclass(frozen=True)
class Records:
  """Some records of a file.

  Attributes:
    path: of the file.
    rows: the records' numbers.
  """

  path: str
  rows: list[int]

  def __len__(self) -> int:
    return len(self.rows)

  def read(self) -> list[bytes]:
    """Their contents."""
    return _reader(self.path).read(self.rows)


def _reader(path: str) -> Any:
  """A reader for this thread alone."""
  readers = _THREADS.__dict__.setdefault('readers', {})
  if path not in readers:
    # Imported late: only those who stream images need it.
    from array_record.python import array_record_module

    readers[path] = array_record_module.ArrayRecordReader(path, _READER_OPTIONS)
  return readers[path]
