"""What the columns of Hugging Face files mean, and the values in them."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from datadiet.data import checks
from datadiet.data.label_columns import column_labels
from datadiet.data.settings import DatasetSettings
from datadiet.errors import ConfigError, DataDietError, counted
from datadiet.runtime import extras


@dataclasses.dataclass(frozen=True)
class Columns:
  """What the columns of a file mean.

  Attributes:
    image: the column with the images.
    label: the column with the labels.
    id: the column with ids; None if there is none.
    class_names: of the labels; None if the file does not say.
    is_text: whether the labels are texts, names of classes.
  """

  image: str
  label: str
  id: str | None
  class_names: tuple[str, ...] | None
  is_text: bool


def import_pyarrow() -> Any:
  """The library pyarrow.

  Raises:
    DataDietError: if it is not installed.
  """
  try:
    import pyarrow
    import pyarrow.parquet
  except ImportError as error:
    raise extras.missing_library(
      'config.dataset.name: hugging_face', 'pyarrow'
    ) from error
  return pyarrow


def features_of(schema: Any) -> dict[str, dict]:
  """What the library `datasets` noted of each column; {} where it did not.

  Columns of lists, which it notes as lists, are left out.
  """
  try:
    found = json.loads((schema.metadata or {}).get(b'huggingface', b'{}'))
  except ValueError:
    return {}
  for key in ('info', 'features'):
    found = found.get(key) if isinstance(found, dict) else None
  if not isinstance(found, dict):
    return {}
  return {
    name: of
    for name, of in found.items()
    if isinstance(of, dict) and name in schema.names
  }


def find_columns(
  schema: Any, settings: DatasetSettings, source: str
) -> Columns:
  """Finds the columns by what a file says of its features.

  Args:
    schema: of pyarrow.
    settings: `config.dataset`; uses `label_key` and `id_key`.
    source: the file, for messages.

  Raises:
    ConfigError: if the columns of images or labels cannot be told.
  """
  features = features_of(schema)
  able = [field.name for field in schema if _may_hold_images(field.type)]
  images = [
    name for name in able if features.get(name, {}).get('_type') == 'Image'
  ] or able
  labels = [
    name for name, of in features.items() if of.get('_type') == 'ClassLabel'
  ] or [name for name in ('label', 'labels') if name in schema.names]
  if settings.label_key:
    labels = [name for name in schema.names if name == settings.label_key]
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
  is_text = _check_type(schema.field(labels[0]), 'label', source)
  names = features.get(labels[0], {}).get('names')
  if not isinstance(names, list) or not names or None in names:
    names = None
  return Columns(
    images[0],
    labels[0],
    _id_column(schema, settings.id_key, source),
    tuple(map(str, names)) if names else None,
    is_text,
  )


def _may_hold_images(kind: Any) -> bool:
  types = import_pyarrow().types
  if types.is_struct(kind):
    return kind.get_field_index('bytes') >= 0
  return types.is_binary(kind) or types.is_large_binary(kind)


def _check_type(field: Any, what: str, source: str) -> bool:
  """Whether a column has texts; refuses all but those, integers and booleans.

  A column of nothing but gaps is told of by its first record.
  """
  types = import_pyarrow().types
  kind = field.type
  if types.is_dictionary(kind):
    kind = kind.value_type
  is_text = (
    types.is_string(kind)
    or types.is_large_string(kind)
    or types.is_string_view(kind)
  )
  if not (
    is_text
    or types.is_integer(kind)
    or types.is_boolean(kind)
    or types.is_null(kind)
  ):
    raise ConfigError(
      f'{source}: the column {field.name!r} has values of type {field.type}; '
      f'allowed: one {what} for each image, an integer or a text; another '
      f'column is chosen by config.dataset.{what}_key'
    )
  return is_text


def _id_column(schema: Any, id_key: str, source: str) -> str | None:
  if id_key == 'none':
    return None
  name = id_key or 'id'
  if name not in schema.names:
    if not id_key:
      return None
    raise ConfigError(
      f'config.dataset.id_key: {source} has no column {id_key!r}; allowed: '
      f"{', '.join(schema.names)}, or 'none' to number the examples"
    )
  _check_type(schema.field(name), 'id', source)
  return name


def check_alike(found: Mapping[Any, Columns]) -> None:
  """Refuses files that cannot be joined with the first.

  Args:
    found: file -> its columns.

  Raises:
    DataDietError: names the two files.
  """
  (first_path, first), *others = found.items()
  for path, columns in others:
    for what in ('image', 'label', 'id'):
      one, other = getattr(first, what), getattr(columns, what)
      if one != other:
        raise DataDietError(
          f'{path} has its {what}s in the column {other!r}, and {first_path} '
          f'in {one!r}; they must be the same'
        )
    if first.class_names and not (columns.class_names or columns.is_text):
      raise DataDietError(
        f'{path} has numbers for labels and does not say which classes they '
        f'are, as {first_path} does; write both with the library datasets, or '
        'labels as texts'
      )


def check_labels(values: list, columns: Columns, where: str) -> None:
  """Refuses a file of which some records have no label.

  Raises:
    DataDietError: names the first.
  """
  if None in values:
    raise DataDietError(
      f'{where}: record {values.index(None)} has no label in the column '
      f'{columns.label!r}'
    )


def ids_of(values: list, columns: Columns, where: str) -> list[str]:
  """The ids of a file's records.

  Raises:
    DataDietError: if one is missing.
  """
  empty = [i for i, value in enumerate(values) if value in (None, '')]
  if empty:
    raise DataDietError(
      f'{where}: {counted(len(empty), "record")} without an id in the column '
      f'{columns.id!r}, the first of them number {empty[0]}; set '
      "config.dataset.id_key to another column, or to 'none' to number the "
      'examples'
    )
  return list(map(str, values))


def names_of(values: Sequence, source: str) -> tuple[str, ...]:
  """Class names where the files give none.

  Texts are sorted, as numbers if all are such; numbers start from 0.
  """
  if all(isinstance(value, str) for value in values):
    names = {value.strip() for value in values}
    numbers = {name: int(name) for name in names if name.isdecimal()}
    if len(numbers) == len(names) == len(set(numbers.values())):
      return tuple(sorted(names, key=numbers.__getitem__))
    return tuple(sorted(names))
  if any(isinstance(value, str) for value in values):
    raise DataDietError(
      f'{source}: some files have texts for labels and others numbers'
    )
  return checks.numbered_classes(int(max([0, *values])), source)


def numbers_of(
  values: list,
  columns: Columns,
  class_names: tuple[str, ...],
  where: str,
  texts_are: str = '',
) -> np.ndarray:
  """int64 classes of a file's records, by name where the file has names.

  Args:
    values: of the column of labels.
    columns: of the file.
    class_names: of the whole set, in label order.
    where: the file, for messages.
    texts_are: what labels that are texts can only be, see `column_labels`.

  Raises:
    DataDietError: if one has none of these classes.
  """
  if values and isinstance(values[0], str):
    where = f'{where}, {columns.label}'
    return column_labels(values, class_names, where, texts_are)
  numbers = np.array(values, np.int64)
  # Without names the file is taken to number classes as the others do.
  names = columns.class_names or class_names
  outside = (numbers < 0) | (numbers >= len(names))
  if outside.any():
    position = int(np.argmax(outside))
    raise DataDietError(
      f'{where}: record {position} has {columns.label} {values[position]}, '
      f'allowed are 0 to {len(names) - 1}'
    )
  label_of = {name: label for label, name in enumerate(class_names)}
  mapped = np.array([label_of.get(name, -1) for name in names], np.int64)
  unknown = [
    names[number] for number in np.unique(numbers) if mapped[number] < 0
  ]
  if unknown:
    raise DataDietError(
      f'{where} has examples of the classes {", ".join(unknown)}, which the '
      'first file of train does not have'
    )
  return mapped[numbers]
