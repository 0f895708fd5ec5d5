"""Checks of the classes of every data set."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

import numpy as np
from absl import logging

from datadiet.errors import DataDietError, counted

# Names listed in a log line or a message.
_NUM_LISTED = 10
# Above this a label is no class but a mistake, such as a hash or an id.
_HIGHEST_LABEL = 2**20


def plain_name(name: str) -> str:
  """Normalizes a class name for comparison: stripped of blanks, in NFC.

  File systems and spreadsheets change both invisibly.
  """
  return unicodedata.normalize('NFC', name.strip())


def check_class_names(class_names: Sequence[str], where: str) -> None:
  """Checks that there are several classes, which can be told apart.

  Args:
    class_names: in label order.
    where: the file or folder, for messages.

  Raises:
    DataDietError: if there are fewer than two, one is blank, or two are the
      same but for spaces at their ends or for how Unicode writes their letters.
  """
  if len(class_names) < 2:
    named = f': {class_names[0]!r}' if len(class_names) else ''
    raise DataDietError(
      f'{where} has {counted(len(class_names), "class")}{named}; two or '
      'more are needed'
    )
  by_text: dict[str, str] = {}
  for name in class_names:
    text = plain_name(name)
    if not text:  # An empty cell of a table would mean this class.
      raise DataDietError(
        f'{where} has a class whose name is blank, {ascii(name)}; rename it'
      )
    if text in by_text:
      raise DataDietError(
        f'{where} has two classes that read {text!r}: {ascii(by_text[text])} '
        f'and {ascii(name)}; rename or join them'
      )
    by_text[text] = name
  folded = Counter(text.casefold() for text in by_text)
  alike = [text for text in by_text if folded[text.casefold()] > 1]
  if alike:
    logging.warning(
      '%s has classes that differ by case alone: %s', where, listed(alike)
    )


def check_labels(
  labels: np.ndarray, class_names: Sequence[str], where: str
) -> None:
  """Checks that the train labels are of several classes.

  Raises:
    DataDietError: if all are the same.
  """
  if len(labels) and (labels == labels[0]).all():
    raise DataDietError(
      f'{where}: all {len(labels)} examples are of the class '
      f'{class_names[labels[0]]!r}; two or more classes are needed'
    )


def check_range(
  labels: np.ndarray, ids: np.ndarray, num_classes: int, where: str
) -> None:
  """Checks that all labels are numbers of classes.

  Args:
    labels: int[num].
    ids: str[num], of the examples, for messages.
    num_classes: number of classes.
    where: the file or split, for messages.

  Raises:
    DataDietError: names the first example whose label is none.
  """
  outside = (labels < 0) | (labels >= num_classes)
  if outside.any():
    index = int(np.argmax(outside))
    raise DataDietError(
      f'{where}: example {str(ids[index])!r} has label {labels[index]}, '
      f'allowed are 0 to {num_classes - 1}'
    )


def numbered_classes(highest: int, where: str) -> tuple[str, ...]:
  """Class names '0' to the highest label, where the data gives none.

  Raises:
    DataDietError: for a label that is too high to be a class.
  """
  if highest > _HIGHEST_LABEL:
    raise DataDietError(
      f'{where}: the label {highest} is too high; allowed: 0 to the number of '
      'classes minus 1'
    )
  return tuple(map(str, range(highest + 1)))


def warn_of_empty_classes(
  labels: np.ndarray, class_names: Sequence[str], where: str
) -> None:
  """Warns of classes without examples."""
  counts = np.bincount(labels, minlength=len(class_names))
  empty = [class_names[label] for label in np.flatnonzero(counts == 0).tolist()]
  if empty:
    logging.warning(
      '%s has no examples of %d of %d classes: %s',
      where,
      len(empty),
      len(class_names),
      listed(empty),
    )


def class_counts(labels: np.ndarray, class_names: Sequence[str]) -> str:
  """The classes with their numbers of examples, in a line."""
  counts = np.bincount(labels, minlength=len(class_names))
  named = [f'{name} {num:,}' for name, num in zip(class_names, counts)]
  text = f'{len(class_names)} classes in train: {listed(named)}'
  if len(class_names) > _NUM_LISTED:
    text += f'; {counts.min():,} to {counts.max():,} examples each'
  return text


def listed(names: Sequence[str], most: int = _NUM_LISTED) -> str:
  """The first few of some names, and how many more there are."""
  more = len(names) - most
  text = ', '.join(names[:most])
  return f'{text} and {more} more' if more > 0 else text
