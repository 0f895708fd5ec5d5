"""The files of Hugging Face sets: which belong to a split, what is in them."""

import contextlib
import json
import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from etils import epath

from datadiet.data import splitting, tree
from datadiet.data.settings import DatasetSettings
from datadiet.data.shards import group_files
from datadiet.data.sources.hugging_face_columns import import_pyarrow
from datadiet.data.splitting import canonical_split
from datadiet.errors import ConfigError, DataDietError
from datadiet.workdir import storage

_ROWS = 256
_STATE, _SPLITS = 'state.json', 'dataset_dict.json'
_PARQUET = '.parquet'
# Of Arrow's format: what precedes the size of a message, and a kind of one.
_CONTINUES, _RECORD_BATCH = -1, 3


def chosen_files(
  root: epath.Path, settings: DatasetSettings
) -> tuple[dict[str, list[epath.Path]], str, list[str]]:
  """The files that the settings choose.

  Args:
    root: the folder.
    settings: `config.dataset`; uses `train_splits` and `test_split`.

  Returns:
    The files of 'train' and, where there is one, 'test', in order; the name of
    what is in 'train'; the names of unused splits.

  Raises:
    DataDietError: as `find_files`, or if there are no such splits.
  """
  source = os.fspath(root)
  files = find_files(root)
  if len(files) == 1 and not {'test', 'validation'} & {*files}:
    files = {'train': next(iter(files.values()))}
  train_splits, test_split = splitting.choose_splits(
    files,
    tuple(map(canonical_split, settings.train_splits)),
    canonical_split(settings.test_split),
    source,
  )
  chosen = {'train': [path for name in train_splits for path in files[name]]}
  if test_split is not None:
    chosen['test'] = files[test_split]
  unused = sorted(set(files) - {*train_splits, test_split})
  return chosen, '_'.join(train_splits), unused


def find_files(root: epath.Path) -> dict[str, list[epath.Path]]:
  """The files of each split, in order; the name '' where it has no name.

  Raises:
    DataDietError: if there are none, if some are missing, or if they are those
      of several sets.
  """
  if (root / _SPLITS).exists():
    names = list(map(str, _read_json(root / _SPLITS, 'splits')))
    if len(set(map(canonical_split, names))) < len(names):
      raise DataDietError(
        f'{root} has two splits for one purpose: {", ".join(names)}; rename one'
      )
    return {canonical_split(name): _saved_files(root / name) for name in names}
  if (root / _STATE).exists():
    return {'': _saved_files(root)}
  is_remote = storage.is_remote(root)
  found = (
    list(storage.files_below(root)) if is_remote else tree.walk(root).files
  )
  below = {
    name: [
      path.removesuffix(f'/{name}')
      for path in found
      if path.endswith(f'/{name}')
    ]
    for name in (_STATE, _SPLITS)
  }
  if below[_SPLITS]:
    raise ConfigError(
      f'config.dataset.data_dir: {root} is not itself what save_to_disk wrote; '
      f'allowed: {", ".join(str(root / path) for path in below[_SPLITS])}'
    )
  saved = below[_STATE]
  parquet = [path for path in found if _is_parquet(path)]
  # Names twice, with endings of another case, are refused by `group_files`.
  stems = [path[: -len(_PARQUET)] for path in parquet]
  if saved and not parquet:
    groups = group_files(saved, os.fspath(root))
    return {
      split: [path for name in names for path in _saved_files(root / name)]
      for split, names in groups.items()
    }
  if not parquet:
    raise DataDietError(
      f'{root} holds neither what save_to_disk writes ({_SPLITS} or {_STATE}) '
      'nor .parquet files'
    )
  paths = dict(zip(stems, parquet, strict=True))
  return {
    split: [root / paths[stem] for stem in group]
    for split, group in group_files(stems, os.fspath(root)).items()
  }


def _is_parquet(path: str) -> bool:
  return path.lower().endswith(_PARQUET)


def _saved_files(folder: epath.Path) -> list[epath.Path]:
  path = folder / _STATE
  files, state = _read_json(path, '_data_files'), _read_json(path)
  if state.get('_indices_data_files') or state.get('_indices_files'):
    raise DataDietError(
      f'{folder} was saved with a selection beside it; load it with the '
      'library datasets and save flatten_indices() of it'
    )
  return [folder / entry['filename'] for entry in files]


def _read_json(path: epath.Path, key: str = '') -> Any:
  """A JSON file, or one of its fields."""
  try:
    content = json.loads(path.read_text())
    return content[key] if key else content
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise DataDietError(f'{path} is missing or damaged ({error})') from error


def tables(path: epath.Path, columns: Sequence[str]) -> Iterator:
  """Record batches of one file, with some columns.

  Raises:
    DataDietError: if it is missing or damaged.
  """
  with _opened(path) as (file, pyarrow):
    if _is_parquet(path.name):
      table = pyarrow.parquet.ParquetFile(file)
      yield from table.iter_batches(_ROWS, columns=columns)
      return
    for batch in pyarrow.ipc.open_stream(file):
      picked = batch.select(columns)
      for start in range(0, picked.num_rows, _ROWS):
        yield picked.slice(start, _ROWS)


def schema(path: epath.Path) -> Any:
  """The schema of one file, of pyarrow.

  Raises:
    DataDietError: if it is missing or damaged.
  """
  with _opened(path) as (file, pyarrow):
    if _is_parquet(path.name):
      return pyarrow.parquet.read_schema(file)
    return pyarrow.ipc.open_stream(file).schema


def num_rows(path: epath.Path) -> int:
  """The number of records of a file, without reading them.

  Raises:
    DataDietError: if it is missing or damaged.
  """
  with _opened(path) as (file, pyarrow):
    if _is_parquet(path.name):
      return pyarrow.parquet.read_metadata(file).num_rows
    return _rows_of_stream(file)


@contextlib.contextmanager
def _opened(path: epath.Path) -> Iterator[tuple[BinaryIO, Any]]:
  """A file and pyarrow; tells of a file that turns out to be damaged."""
  pyarrow = import_pyarrow()
  try:
    with path.open('rb') as file:
      yield file, pyarrow
  # A column that is not there is a KeyError.
  except (pyarrow.ArrowException, OSError, KeyError, struct.error) as error:
    text = str(error.args[0] if error.args else error).splitlines()
    raise DataDietError(
      f'{path} is missing, cut short or damaged ({text[0] if text else ""})'
    ) from error


def _rows_of_stream(file: BinaryIO) -> int:
  """The rows of an Arrow IPC stream, of which it reads the headers alone.

  pyarrow would read, or have the system read, all that is in the batches.
  Format: arrow.apache.org/docs/format/Columnar.html, encapsulated messages.
  """
  num_rows = 0
  while prefix := file.read(4):
    (size,) = struct.unpack('<i', prefix)
    if size == _CONTINUES:
      (size,) = struct.unpack('<i', file.read(4))
    if size <= 0:  # The end of the stream.
      break
    message = file.read(size)
    (table,) = struct.unpack_from('<I', message)
    if _field(message, table, 1, '<B') == _RECORD_BATCH:
      at = _field_at(message, table, 2)
      (header,) = struct.unpack_from('<I', message, at)
      num_rows += _field(message, at + header, 0, '<q')
    # Never back, so that a damaged file has an end too.
    file.seek(max(0, _field(message, table, 3, '<q')), os.SEEK_CUR)
  return num_rows


def _field_at(message: bytes, table: int, number: int) -> int:
  """Where a field of a table of flatbuffers is; 0 for its default, 0."""
  (back,) = struct.unpack_from('<i', message, table)
  start = table - back
  (size,) = struct.unpack_from('<H', message, start)
  entry = 4 + 2 * number
  if entry >= size:
    return 0
  (offset,) = struct.unpack_from('<H', message, start + entry)
  return table + offset if offset else 0


def _field(message: bytes, table: int, number: int, kind: str) -> int:
  at = _field_at(message, table, number)
  return struct.unpack_from(kind, message, at)[0] if at else 0
