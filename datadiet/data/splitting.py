"""Which split each record of a source belongs to."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from absl import logging

from datadiet.data.settings import DatasetSettings
from datadiet.errors import ConfigError, DataDietError

# What sources call the split that accuracy is measured on, best first.
TEST_NAMES = ('test', 'validation', 'valid', 'val')
# What names a split, in lower case, wherever it stands alone in a name.
SPLIT_WORDS = {
  'train': 'train',
  'training': 'train',
  'trainset': 'train',
  'validation': 'validation',
  'valid': 'validation',
  'val': 'validation',
  'dev': 'validation',
  'test': 'test',
  'testing': 'test',
  'testset': 'test',
  'eval': 'test',
  'evaluation': 'test',
}
# Fixed, so that everybody with the same files has the same split.
_SEED = 0


def canonical_split(name: str) -> str:
  """'val' -> 'validation'; a name that is no split word stays as it is."""
  return SPLIT_WORDS.get(name.lower(), name)


def choose_splits(
  known: Iterable[str],
  train_splits: Sequence[str],
  test_split: str,
  source: str,
) -> tuple[tuple[str, ...], str | None]:
  """Which of a source's splits make the train split and the test split.

  Args:
    known: the splits that the source has.
    train_splits: `config.dataset.train_splits`; () for 'train' alone.
    test_split: `config.dataset.test_split`; '' for the first of `TEST_NAMES`.
    source: the file or folder, for messages.

  Returns:
    The splits that make up train, and the one for test; None if it has none.

  Raises:
    ConfigError: if it lacks one that is asked for.
  """
  known = list(known)
  train = tuple(train_splits) or ('train',)
  for name in train:
    if name not in known:
      raise ConfigError(
        f'config.dataset.train_splits: {source} has no split {name!r}; '
        f'allowed: {", ".join(known) or "none is there"}'
      )
  if len(set(train)) < len(train):
    raise ConfigError(
      f'config.dataset.train_splits: {train} names a split twice'
    )
  if test_split:
    left = [name for name in known if name not in train]
    if test_split not in left:
      raise ConfigError(
        f'config.dataset.test_split: {source} has no split {test_split!r} '
        f'beside those of train; allowed: {", ".join(left) or "none is there"}'
      )
    return train, test_split
  left = [name for name in TEST_NAMES if name in known and name not in train]
  return train, left[0] if left else None


def check_usual_splits(settings: DatasetSettings, source: str) -> None:
  """Refuses other splits for a source that has train and test alone.

  Args:
    settings: `config.dataset`; uses `train_splits` and `test_split`.
    source: the file or folder, for messages.

  Raises:
    ConfigError: names the setting.
  """
  for name, allowed in (('train_splits', ('train',)), ('test_split', 'test')):
    value = getattr(settings, name)
    value = value if isinstance(value, str) else tuple(value)
    if value and value != allowed:
      raise ConfigError(
        f'config.dataset.{name}: {value!r} is not allowed; allowed for '
        f'{source}: {allowed!r}'
      )


def stratified_split(
  labels: np.ndarray,
  test_fraction: float,
  class_names: Sequence[str],
  source: str,
) -> dict[str, np.ndarray]:
  """Splits records off as a test split, from every class the same share.

  Args:
    labels: int[num_records].
    test_fraction: the share, in (0, 1).
    class_names: for messages.
    source: likewise.

  Returns:
    int64 record numbers of 'train' and 'test', ascending each.

  Raises:
    DataDietError: if a class has a single record.
  """
  labels = np.asarray(labels)
  logging.info(
    '%s has no test split: %.3g of each class become its test split '
    '(config.dataset.test_fraction)',
    source,
    test_fraction,
  )
  rng = np.random.default_rng(_SEED)
  is_test = np.zeros(len(labels), bool)
  for label in np.unique(labels):
    records = np.flatnonzero(labels == label)
    if len(records) < 2:
      raise DataDietError(
        f'{source}: the class {class_names[label]!r} has one example, which '
        'cannot be in the train and in the test split; add one, or leave the '
        'class out'
      )
    num_test = round(test_fraction * len(records))
    num_test = min(max(num_test, 1), len(records) - 1)
    is_test[rng.permutation(records)[:num_test]] = True
  return {'train': np.flatnonzero(~is_test), 'test': np.flatnonzero(is_test)}


def scatter(
  destinations: Mapping[str, np.ndarray],
  records: Mapping[str, np.ndarray],
  start: int,
  images: np.ndarray,
) -> None:
  """Writes consecutive records of a source into the splits' arrays.

  Args:
    destinations: array of each split.
    records: the ascending record numbers of each split.
    start: the record number of the first image.
    images: of records start, start + 1, ...
  """
  for split_name, numbers in records.items():
    low, high = np.searchsorted(numbers, [start, start + len(images)])
    destinations[split_name][low:high] = images[numbers[low:high] - start]
