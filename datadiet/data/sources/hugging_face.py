"""Hugging Face image sets: folders of save_to_disk, or parquet files.

Read by pyarrow alone, a few records at a time; the library `datasets` is not
needed.
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from datadiet.data import splitting
from datadiet.data.dataset import Allocate, Dataset, in_memory
from datadiet.data.decoding import EncodedImage, Listing, decoded_dataset
from datadiet.data.sources.image_folder import files_below, require_folder
from datadiet.errors import ConfigError, DataDietError
from datadiet.runtime import extras

_ROWS = 256


@dataclasses.dataclass(frozen=True)
class _Columns:
  """What the columns of a table mean.

  Attributes:
    image: the column with the images.
    label: the column with the labels.
    id: the column with ids; None if there is none.
    class_names: of the labels; None if the table does not say.
  """

  image: str
  label: str
  id: str | None
  class_names: tuple[str, ...] | None


def _import_pyarrow() -> Any:
  try:
    import pyarrow
    import pyarrow.parquet
  except ImportError as error:
    raise extras.missing_library(
      'config.dataset.name: hugging_face', 'pyarrow'
    ) from error
  return pyarrow


def load_hugging_face(settings, allocate: Allocate = in_memory) -> Dataset:
  """Reads what `Dataset.save_to_disk` or `to_parquet` wrote.

  The order is that of the records. The ids are those of a column `id`, or
  numbers such as 'train_00000'.

  Args:
    settings: `config.dataset`; uses `data_dir`, `label_key` (the column of
      labels), `train_splits`, `test_split`, `test_fraction`, `image_size` and
      `skip_unreadable`.
    allocate: for the decoded images.

  Raises:
    DataDietError: if pyarrow is missing, or the files are, are damaged, or do
      not hold images and labels.
  """
  _import_pyarrow()
  root = require_folder(settings.data_dir, 'hugging_face')
  source = os.fspath(root)
  files = find_files(root)
  if list(files) == ['']:
    files = {'train': files['']}
  train_splits, test_split = splitting.choose_splits(
    files, settings.train_splits, settings.test_split, source
  )
  train_files = [path for name in train_splits for path in files[name]]
  columns = _find_columns(_schema(train_files[0]), settings.label_key, source)
  train = _read_listing(train_files, columns, '_'.join(train_splits), source)
  if test_split is None:
    test = None
    values = train.labels
  else:
    test = _read_listing(files[test_split], columns, 'test', source)
    values = [*train.labels, *test.labels]
  class_names = columns.class_names or _names_of(values, source)
  for name, listing in (('train', train), ('test', test)):
    if listing is not None:
      where = f'{source}, {name}'
      listing.labels = _numbers(listing.labels, class_names, columns, where)
  listings, encoded = _divide(
    train,
    test,
    train_files,
    files.get(test_split),
    columns,
    settings,
    class_names,
    source,
  )
  return decoded_dataset(
    'hugging_face',
    listings,
    encoded,
    class_names,
    settings=settings,
    allocate=allocate,
    source=source,
  )


def _divide(
  train, test, train_files, test_files, columns, settings, class_names, source
):
  """Listings of train and test, and their images as the files have them."""
  if test is not None:
    rows = {
      'train': [('train', i) for i in range(len(train.ids))],
      'test': [('test', i) for i in range(len(test.ids))],
    }

    def encoded_of_both():
      yield from _encoded(train_files, columns, rows['train'], source)
      yield from _encoded(test_files, columns, rows['test'], source)

    return {'train': train, 'test': test}, encoded_of_both()
  records = splitting.stratified_split(
    train.labels, settings.test_fraction, class_names, source
  )
  rows = [('', 0)] * len(train.ids)
  listings = {}
  for split_name, numbers in records.items():
    for position, number in enumerate(numbers):
      rows[number] = (split_name, position)
    listings[split_name] = Listing(
      [train.ids[number] for number in numbers], train.labels[numbers]
    )
  return listings, _encoded(train_files, columns, rows, source)


def find_files(root: epath.Path) -> dict[str, list[epath.Path]]:
  """The files of each split, in order; the name '' where it has no name.

  Raises:
    DataDietError: if there are none.
  """
  if (root / 'dataset_dict.json').exists():
    names = _read_json(root / 'dataset_dict.json', 'splits')
    return {name: _saved_files(root / name) for name in names}
  if (root / 'state.json').exists():
    return {'': _saved_files(root)}
  files: dict[str, list[epath.Path]] = {}
  for relative in sorted(files_below(root, '')):
    if not relative.endswith('.parquet'):
      continue
    path = root / relative.removeprefix('/')
    # train-00000-of-00002.parquet, train.parquet, or train/0000.parquet.
    stem = path.name.removesuffix('.parquet')
    name = stem.split('-')[0]
    if name.isdigit():
      name = path.parent.name if path.parent != root else ''
    files.setdefault(name, []).append(path)
  if not files:
    raise DataDietError(
      f'{root} holds neither what save_to_disk writes (dataset_dict.json or '
      'state.json) nor .parquet files'
    )
  if len(files) == 1 and 'train' not in files:
    return {'': next(iter(files.values()))}
  return files


def _saved_files(folder: epath.Path) -> list[epath.Path]:
  path = folder / 'state.json'
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
  except (OSError, ValueError, KeyError) as error:
    raise DataDietError(f'{path} is missing or damaged ({error})') from error


def _tables(path: epath.Path, columns: Sequence[str]) -> Iterator:
  """Record batches of one file, with some columns."""
  pyarrow = _import_pyarrow()
  try:
    with path.open('rb') as file:
      if path.name.endswith('.parquet'):
        table = pyarrow.parquet.ParquetFile(file)
        for name in set(columns) - set(table.schema_arrow.names):
          raise KeyError(f'no column {name!r}')
        yield from table.iter_batches(_ROWS, columns=columns)
        return
      for batch in pyarrow.ipc.open_stream(file):
        picked = batch.select(columns)
        for start in range(0, picked.num_rows, _ROWS):
          yield picked.slice(start, _ROWS)
  except (pyarrow.ArrowException, OSError, KeyError) as error:
    text = str(error.args[0] if error.args else error).splitlines()
    raise DataDietError(
      f'{path} is missing, cut short or damaged ({text[0] if text else ""})'
    ) from error


def _schema(path: epath.Path) -> Any:
  pyarrow = _import_pyarrow()
  try:
    with path.open('rb') as file:
      if path.name.endswith('.parquet'):
        return pyarrow.parquet.read_schema(file)
      return pyarrow.ipc.open_stream(file).schema
  except (pyarrow.ArrowException, OSError) as error:
    raise DataDietError(
      f'{path} is missing, cut short or damaged ({error})'
    ) from error


def _find_columns(schema, label_key: str, source: str) -> _Columns:
  """Finds the columns by what the files say of their features."""
  pyarrow = _import_pyarrow()
  stored = json.loads((schema.metadata or {}).get(b'huggingface', b'{}'))
  features = stored.get('info', {}).get('features', {})
  images = [name for name, of in features.items() if of.get('_type') == 'Image']
  if not images:
    images = [
      field.name
      for field in schema
      if pyarrow.types.is_binary(field.type)
      or pyarrow.types.is_large_binary(field.type)
      or pyarrow.types.is_struct(field.type)
      and field.type.get_field_index('bytes') >= 0
    ]
  labels = [
    name for name, of in features.items() if of.get('_type') == 'ClassLabel'
  ] or [name for name in ('label', 'labels') if name in schema.names]
  if label_key:
    labels = [name for name in schema.names if name == label_key]
  elif 'label' in labels:
    labels = ['label']
  for what, found, remedy in (
    ('images', images, 'save it with one (remove_columns), of '),
    (
      'labels',
      labels,
      'set config.dataset.label_key to the one with the labels, of ',
    ),
  ):
    if len(found) != 1:
      raise ConfigError(
        f'{source} has {len(found)} columns that could hold the {what}'
        f'{": " + ", ".join(found) if found else ""}; {remedy}'
        f'{", ".join(schema.names)}'
      )
  names = features.get(labels[0], {}).get('names')
  return _Columns(
    images[0],
    labels[0],
    'id' if 'id' in schema.names else None,
    tuple(map(str, names)) if names else None,
  )


def _read_listing(
  files, columns: _Columns, prefix: str, source: str
) -> Listing:
  """Labels, not yet numbers, and ids of a split."""
  labels, ids = [], []
  wanted = [columns.label, *([columns.id] if columns.id else [])]
  for path in files:
    for batch in _tables(path, wanted):
      labels.extend(batch.column(columns.label).to_pylist())
      if columns.id:
        ids.extend(map(str, batch.column(columns.id).to_pylist()))
  if None in labels:
    raise DataDietError(
      f'{source}: record {labels.index(None)} of {prefix} has no label in the '
      f'column {columns.label!r}'
    )
  ids = ids or [f'{prefix}_{i:05d}' for i in range(len(labels))]
  return Listing(ids, labels)


def _names_of(values: list, source: str) -> tuple[str, ...]:
  """Class names where the files give none."""
  if all(isinstance(value, str) for value in values):
    return tuple(sorted(set(values)))
  if all(isinstance(value, int) for value in values):
    return tuple(map(str, range(max([0, *values]) + 1)))
  raise DataDietError(f'{source}: labels must be integers or texts')


def _numbers(
  values: list, class_names: Sequence[str], columns: _Columns, source: str
) -> np.ndarray:
  numbers = {name: number for number, name in enumerate(class_names)}
  labels = np.zeros(len(values), np.int32)
  for position, value in enumerate(values):
    number = numbers.get(value) if isinstance(value, str) else value
    if not isinstance(number, int) or not 0 <= number < len(class_names):
      raise DataDietError(
        f'{source}: record {position} has {columns.label} {value!r}, allowed '
        f'are 0 to {len(class_names) - 1}'
      )
    labels[position] = number
  return labels


def _encoded(
  files: Sequence[epath.Path],
  columns: _Columns,
  rows: Sequence[tuple[str, int]],
  source: str,
) -> Iterator[EncodedImage]:
  """The images of records, each with the split and row it belongs to."""
  record = 0
  for path in files:
    for batch in _tables(path, [columns.image]):
      for value in batch.column(columns.image).to_pylist():
        name = f'{path}, record {record},'
        content = _content(value, source)
        yield EncodedImage(*rows[record], content, name)
        record += 1


def _content(value: bytes | Mapping | None, source: str) -> str | bytes:
  """Bytes of a file, or the path of one; b'' cannot be read."""
  if isinstance(value, bytes):
    return value
  value = value or {}
  if value.get('bytes') is not None:
    return value['bytes']
  return os.path.join(source, value['path']) if value.get('path') else b''
