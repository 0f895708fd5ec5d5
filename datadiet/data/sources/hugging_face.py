"""Hugging Face image sets: folders of save_to_disk, or Parquet files.

Read by pyarrow alone, a few records at a time. The library `datasets` would
copy Parquet files to a cache of its own first, take the class names of the
first file for those of all, and not notice that one is missing.
"""

import os
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from absl import logging
from etils import epath

from datadiet.data import splitting
from datadiet.data.dataset import ROW, Allocate, Dataset, in_memory
from datadiet.data.decoding import EncodedImage, Listing, decoded_dataset
from datadiet.data.settings import DatasetSettings
from datadiet.data.sources import hugging_face_columns as columns_lib
from datadiet.data.sources import hugging_face_files as files_lib
from datadiet.data.sources.hugging_face_columns import Columns, import_pyarrow
from datadiet.data.sources.image_folder import require_folder


def load_hugging_face(
  settings: DatasetSettings, allocate: Allocate = in_memory
) -> Dataset:
  """Reads what `Dataset.save_to_disk` or `to_parquet` wrote.

  The order is that of the records. The ids are those of a column, or numbers
  such as 'train_00000'. Classes are those of the first train file; labels of
  the others are mapped by the names of their classes.

  Args:
    settings: `config.dataset`; uses `data_dir`, `label_key` and `id_key` (the
      columns of labels and ids), `train_splits`, `test_split`,
      `test_fraction`, `image_size` and `skip_unreadable`.
    allocate: for the decoded images.

  Raises:
    DataDietError: if pyarrow is missing, or the files are, are damaged, or do
      not hold images and labels.
  """
  import_pyarrow()
  root = require_folder(settings.data_dir, 'hugging_face')
  source = os.fspath(root)
  chosen, prefix, unused = files_lib.chosen_files(root, settings)
  if unused:
    logging.warning('%s: its splits %s are not used', source, ', '.join(unused))
  columns = {
    path: columns_lib.find_columns(files_lib.schema(path), settings, str(path))
    for paths in chosen.values()
    for path in paths
  }
  columns_lib.check_alike(columns)
  first = columns[chosen['train'][0]]
  values = {path: _values(path, columns[path]) for path in columns}
  class_names = first.class_names or columns_lib.names_of(
    [label for labels, _ in values.values() for label in labels], source
  )
  prefixes = {'train': prefix, 'test': 'test'}
  listings = {
    name: _listing(paths, values, columns, class_names, prefixes[name])
    for name, paths in chosen.items()
  }
  rows = {
    name: [(name, i) for i in range(len(listing.ids))]
    for name, listing in listings.items()
  }
  if 'test' not in chosen:
    listings, rows['train'] = _divided(
      listings['train'], settings.test_fraction, class_names, source
    )
  encoded = (
    image
    for name, paths in chosen.items()
    for image in _encoded(paths, first.image, rows[name], source)
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


def num_images(settings: DatasetSettings, root: epath.Path) -> int:
  """The number of records in those splits that are used, as of `num_rows`.

  Args:
    settings: `config.dataset`; uses `train_splits` and `test_split`.
    root: the folder, local or remote.

  Raises:
    DataDietError: as `load_hugging_face`.
  """
  import_pyarrow()
  chosen, *_ = files_lib.chosen_files(root, settings)
  return sum(
    files_lib.num_rows(path) for paths in chosen.values() for path in paths
  )


def train_files(settings: DatasetSettings) -> tuple[list[str], str]:
  """The files of the train examples, in order, and their column of images.

  `Split.columns['row']` counts through all of them.
  """
  root = require_folder(settings.data_dir, 'hugging_face')
  paths = files_lib.chosen_files(root, settings)[0]['train']
  first = paths[0]
  columns = columns_lib.find_columns(
    files_lib.schema(first), settings, str(first)
  )
  return list(map(os.fspath, paths)), columns.image


def _divided(
  whole: Listing,
  test_fraction: float,
  class_names: tuple[str, ...],
  source: str,
) -> tuple[dict[str, Listing], list[tuple[str, int]]]:
  """Listings of train and test, and the split and row of each record."""
  labels = np.asarray(whole.labels)
  records = splitting.stratified_split(
    labels, test_fraction, class_names, source
  )
  rows = [('', 0)] * len(whole.ids)
  listings = {}
  for split_name, numbers in records.items():
    for position, number in enumerate(numbers):
      rows[number] = (split_name, position)
    listings[split_name] = Listing(
      [whole.ids[number] for number in numbers],
      labels[numbers],
      {ROW: numbers},
    )
  return listings, rows


def _listing(
  paths: Sequence[epath.Path],
  values: Mapping[epath.Path, tuple[list, list]],
  columns: Mapping[epath.Path, Columns],
  class_names: tuple[str, ...],
  prefix: str,
) -> Listing:
  """Labels and ids of a split, file by file."""
  parts: list[np.ndarray] = []
  ids: list[str] = []
  # Where no file lists its classes, their names are the texts themselves.
  is_listed = any(one.class_names for one in columns.values())
  texts_are = '' if is_listed else 'names'
  for path in paths:
    found, own_ids = values[path]
    parts.append(
      columns_lib.numbers_of(
        found, columns[path], class_names, str(path), texts_are
      )
    )
    ids.extend(columns_lib.ids_of(own_ids, columns[path], str(path)))
  labels = np.concatenate(parts).astype(np.int32)
  rows = np.arange(len(labels))
  return Listing(
    ids or [f'{prefix}_{i:05d}' for i in rows.tolist()], labels, {ROW: rows}
  )


def _values(path: epath.Path, columns: Columns) -> tuple[list, list]:
  """The labels of a file, as they are, and its ids; [] if it has none."""
  labels, ids = [], []
  wanted = [columns.label, *([columns.id] if columns.id else [])]
  for batch in files_lib.tables(path, wanted):
    labels.extend(batch.column(columns.label).to_pylist())
    if columns.id:
      ids.extend(batch.column(columns.id).to_pylist())
  columns_lib.check_labels(labels, columns, str(path))
  return labels, ids


def _encoded(
  files: Sequence[epath.Path],
  column: str,
  rows: Sequence[tuple[str, int]],
  source: str,
) -> Iterator[EncodedImage]:
  """The images of records, each with the split and row it belongs to."""
  record = 0
  for path in files:
    for batch in files_lib.tables(path, [column]):
      for value in batch.column(column).to_pylist():
        name = f'{path}, record {record}'
        yield EncodedImage(*rows[record], _content(value, source), name)
        record += 1


def encoded_images(
  files: Sequence[str], column: str, root: str
) -> Iterator[str | bytes]:
  """The images in the files of `train_files`: bytes, or paths of files."""
  for path in files:
    for batch in files_lib.tables(epath.Path(path), [column]):
      for value in batch.column(column).to_pylist():
        yield _content(value, root)


def _content(value: bytes | Mapping | None, source: str) -> str | bytes:
  """Bytes of a file, or the path of one; b'' cannot be read."""
  if isinstance(value, bytes):
    return value
  if not isinstance(value, Mapping):
    return b''
  if value.get('bytes') is not None:
    return value['bytes']
  return os.path.join(source, value['path']) if value.get('path') else b''
