"""Labels in files: tables with ids, and arrays in the order of the examples.

Whether labels are names or numbers of classes is decided for a whole column,
never row by row; what can be read in two ways that differ is refused.
"""

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np
from absl import logging
from etils import epath

from datadiet.data.checks import check_range, plain_name
from datadiet.data.dataset import Dataset
from datadiet.data.label_arrays import labels_by_position, read_arrays
from datadiet.data.label_columns import all_numbers, column_labels
from datadiet.errors import ConfigError, DataDietError, counted
from datadiet.workdir import artifacts, texts

# Column -> values of all rows.
_Columns = Mapping[str, Sequence]
_ENDINGS = ('.csv', '.parquet', '.npy', '.npz', '.pt', '.pth')


def read_labels(
  path: str, dataset: Dataset, *, are: str = '', order: str = ''
) -> np.ndarray:
  """Reads labels for the train split from a file.

  Args:
    path: of a table (.csv, .parquet) with a column `id` and labels of some or
      all examples, in any order, in `label_name` or `label`; or of an array
      (.npy, .npz, .pt) with a label for each example in order. Which column or
      array of several is said by PATH:NAME.
    dataset: which the labels are for.
    are: 'names' or 'numbers' of classes; '' for what they can only be.
    order: of arrays: 'index' for the order of example_index, 'ids' for that of
      the numbers in ids such as train_16399, which for CIFAR is torchvision's;
      '' for the former unless the labels fit the latter alone.

  Returns:
    int32[num_examples]; examples that a table does not have keep their label.

  Raises:
    DataDietError: if they do not fit; names the file and the example.
  """
  where, key = file_and_key(path)
  content = artifacts.read_bytes(where)
  if where.suffix in ('.csv', '.parquet') and not _is_array(content):
    columns = _table(where, content)
    labels = _by_id(columns, key, dataset, are, str(where))
  else:
    arrays = read_arrays(where, content)
    labels = labels_by_position(arrays, key, dataset, are, order, str(where))
  check_range(labels, dataset.train.ids, dataset.num_classes, str(where))
  return labels.astype(np.int32)


def file_and_key(path: str) -> tuple[epath.Path, str]:
  """The file that PATH or PATH:NAME names, and NAME.

  Raises:
    ConfigError: if the file's name has no known ending.
  """
  where, key = epath.Path(path).expanduser(), ''
  before, colon, after = path.rpartition(':')
  if colon and '/' not in after and before.endswith(_ENDINGS):
    where, key = epath.Path(before).expanduser(), after
  if where.suffix not in _ENDINGS:
    raise ConfigError(
      f'config.dataset.labels_path: {path!r} is not allowed; allowed: a file '
      f'that ends in {", ".join(_ENDINGS)}, or one with :NAME after it for one '
      'of its columns or arrays'
    )
  return where, key


def _is_array(content: bytes) -> bool:
  return content.startswith((b'\x93NUMPY', b'PK'))


def _table(where: epath.Path, content: bytes) -> _Columns:
  """The columns of a table, their values as texts."""
  if where.suffix == '.parquet':
    columns = _parquet(where, content)
  else:
    try:
      text = texts.decoded(content, where, 'a CSV file')
      reader = csv.reader(io.StringIO(text), strict=True)
      header, *rows = [row for row in reader if row] or [[]]
    except csv.Error as error:
      raise DataDietError(f'{where} is not a CSV file ({error})') from error
    header = [name.strip() for name in header]
    if len(set(header)) < len(header):
      raise DataDietError(f'{where} has two columns of one name: {header}')
    for number, row in enumerate(rows):
      if any(row[len(header) :]):
        raise DataDietError(
          f'{where}: row {number} has {len(row)} cells for {len(header)} '
          f'columns: {row}; quote cells with commas in them'
        )
    columns = {
      name: [row[i] if i < len(row) else '' for row in rows]
      for i, name in enumerate(header)
    }
  if 'id' not in columns:
    raise DataDietError(
      f"{where} has no column 'id', it has {', '.join(columns) or 'none'}"
    )
  return columns


def _parquet(where: epath.Path, content: bytes) -> _Columns:
  try:
    import pyarrow.parquet
  except ImportError as error:
    raise DataDietError(
      f'reading {where} needs the library pyarrow; install it by '
      '`pip install pyarrow`'
    ) from error
  try:
    table = pyarrow.parquet.read_table(io.BytesIO(content))
  except (pyarrow.ArrowException, OSError, ValueError) as error:
    raise DataDietError(f'{where} is not a Parquet file ({error})') from error
  return {
    name: [
      '' if value is None else str(value)
      for value in table.column(name).to_pylist()
    ]
    for name in table.column_names
  }


def _by_id(
  columns: _Columns, key: str, dataset: Dataset, are: str, where: str
) -> np.ndarray:
  """int64[num_examples]: the labels of a table's rows, or the data set's."""
  chosen = key or 'label'
  if chosen not in columns and f'{chosen}_name' not in columns:
    raise DataDietError(
      f'{where} has no column {chosen!r}, it has {", ".join(columns)}; another '
      'is chosen by config.dataset.labels_path=PATH:NAME'
    )
  index = _rows_of(columns['id'], dataset, where)
  beside = None
  # All tables that are written here have a column of names beside the numbers.
  if f'{chosen}_name' in columns:
    chosen, are, beside = f'{chosen}_name', 'names', columns.get(chosen)
  texts = [plain_name(text) for text in columns[chosen]]
  # A column such as suggested_label speaks of some examples alone.
  given = [i for i, text in enumerate(texts) if text or not key]
  names = [columns['id'][i] for i in given]
  texts, index = [texts[i] for i in given], index[given]
  numbers = column_labels(
    texts, dataset.class_names, f'{where}, {chosen}', are, names
  )
  if beside is not None:
    beside = [plain_name(beside[i]) for i in given]
    _check_agreement(beside, texts, numbers, names, dataset.class_names, where)
  labels = dataset.train.labels.astype(np.int64)
  labels[index] = numbers
  if len(index) < len(labels):
    logging.info(
      '%s has labels of %d of %d train examples; the others keep theirs',
      where,
      len(index),
      len(labels),
    )
  return labels


def _rows_of(ids: Sequence[str], dataset: Dataset, where: str) -> np.ndarray:
  """The example_index of each row."""
  if not ids:
    raise DataDietError(f'{where} has no rows')
  index_of = {name: index for index, name in enumerate(dataset.train.ids)}
  rows, seen = np.zeros(len(ids), np.int64), set()
  for position, name in enumerate(ids):
    if name not in index_of:
      is_test = name in set(dataset.test.ids.tolist())
      raise DataDietError(
        f'{where}: {name!r} is no id of a train example of {dataset.name}'
        f'{", but one of its test split" if is_test else ""}'
      )
    if name in seen:
      raise DataDietError(f'{where} has the id {name!r} twice')
    seen.add(name)
    rows[position] = index_of[name]
  return rows


def _check_agreement(
  beside: list[str], texts: list[str], numbers, ids, class_names, where: str
) -> None:
  """Refuses a table whose label says another class than its label_name."""
  are = 'numbers' if all_numbers(beside) else 'names'
  other = column_labels(beside, class_names, f'{where}, label', are, ids)
  differ = np.flatnonzero(other != numbers)
  if len(differ):
    row = differ[0]
    raise DataDietError(
      f'{where}: the label and its name differ in '
      f'{counted(len(differ), "row")}; the first is {ids[row]!r} with '
      f'{beside[row]!r} and {texts[row]!r}; correct both, '
      'or remove the column that is wrong'
    )
