"""Which classes the cells of a whole column of labels mean."""

import re
from collections.abc import Sequence
from typing import NoReturn

import numpy as np

from datadiet.data.checks import plain_name
from datadiet.errors import DataDietError

# What `config.dataset.labels_are` may be.
READINGS = ('', 'names', 'numbers')
# Whole numbers; with .0 where a table had gaps and was made with pandas.
_NUMBER = re.compile(r'[+-]?[0-9]{1,18}(\.0+)?')


def column_labels(
  texts: Sequence[str],
  class_names: Sequence[str],
  where: str,
  are: str = '',
  ids: Sequence[str] | np.ndarray | None = None,
) -> np.ndarray:
  """The classes that a whole column of names or of numbers means.

  Args:
    texts: of the cells.
    class_names: in label order.
    where: the file and the column, for messages.
    are: 'names' or 'numbers'; '' for what all of them can be.
    ids: of the cells, for messages; their numbers if None.

  Returns:
    int64[num_cells], in the range of an int64 if not of the classes.

  Raises:
    DataDietError: if some are neither, or if all are both and differ.
  """
  texts = [plain_name(text) for text in texts]
  label_of = _labels_by_name(class_names, texts)
  is_name = np.array([text in label_of for text in texts], bool)
  is_number = np.array([bool(_is_number(text)) for text in texts], bool)
  for kind, allowed in (('names', is_name), ('numbers', is_number)):
    if are == kind and not allowed.all():
      _refuse(texts, int(np.argmin(allowed)), where, ids, f'is none of {kind}')
  neither = ~(is_name | is_number)
  if neither.any():
    what = 'neither a class name nor a number'
    _refuse(texts, int(np.argmax(neither)), where, ids, f'is {what}')
  if are != 'numbers' and is_name.all():
    named = np.array([label_of[text] for text in texts], np.int64)
    if are == 'names' or not is_number.all():
      return named
    numbered = _integers(texts)
    inside = (numbered >= 0) & (numbered < len(class_names))
    if not inside.all() or (named == numbered).all():
      return named
    first = int(np.argmax(named != numbered))
    raise DataDietError(
      f'{where} can be read in two ways: {texts[first]!r} is the name of class '
      f'number {named[first]}, and the number of the class '
      f'{class_names[numbered[first]]!r}; say which by '
      "config.dataset.labels_are='names' or 'numbers'"
    )
  if not is_number.all():
    _refuse(
      texts,
      int(np.argmin(is_number)),
      where,
      ids,
      f'is the name of a class, where {texts[int(np.argmin(is_name))]!r} is a '
      'number; a column has to have names alone or numbers alone',
    )
  return _integers(texts)


def _labels_by_name(
  class_names: Sequence[str], texts: Sequence[str]
) -> dict[str, int]:
  """The classes that texts may name.

  Tables make 001 into 1 and 1 into 1.0, so that a number names the class whose
  name is the same number, where there is one such class.
  """
  label_of = {plain_name(name): label for label, name in enumerate(class_names)}
  by_value: dict[int, list[int]] = {}
  for name, label in label_of.items():
    if name.isascii() and name.isdigit():
      by_value.setdefault(int(name), []).append(label)
  for text in texts:
    if text not in label_of and _is_number(text):
      same = by_value.get(int(text.partition('.')[0]), [])
      if len(same) == 1:
        label_of[text] = same[0]
  return label_of


def _integers(texts: Sequence[str]) -> np.ndarray:
  return np.array([int(text.partition('.')[0]) for text in texts], np.int64)


def _refuse(
  texts: Sequence[str],
  position: int,
  where: str,
  ids: Sequence[str] | np.ndarray | None,
  what: str,
) -> NoReturn:
  name = repr(str(ids[position])) if ids is not None else f'row {position}'
  raise DataDietError(
    f'{where}: {name} has label {texts[position]!r}, which {what}'
  )


def all_numbers(texts: Sequence[str]) -> bool:
  """Whether a column can be read as numbers."""
  return all(map(_is_number, texts))


def _is_number(text: str) -> bool:
  return bool(_NUMBER.fullmatch(text))
