"""Labels changed on purpose: noise, or other annotations of the same images.

Only the labels of the train split change: the examples, their order, their ids
and the fingerprint stay, and the original labels are kept beside.
"""

import csv
import dataclasses
import io
import os
from collections.abc import Callable

import numpy as np
from absl import logging
from etils import epath

from datadiet.data.dataset import Dataset
from datadiet.errors import ConfigError, DataDietError
from datadiet.runtime.randomness import LABEL_NOISE_STREAM, generator
from datadiet.workdir import artifacts, storage

# The confusions of Patrini et al. 2017 (arXiv 1609.03683), where all classes
# are CIFAR-10's.
_CIFAR10_CONFUSIONS = {
  'truck': 'automobile',
  'bird': 'airplane',
  'deer': 'horse',
  'cat': 'dog',
  'dog': 'cat',
}
_CIFAR10_CLASSES = {*_CIFAR10_CONFUSIONS, 'airplane', 'automobile', 'horse'} | {
  'frog',
  'ship',
}


def apply_labels(dataset: Dataset, settings) -> Dataset:
  """The data set with the train labels that the settings ask for.

  Args:
    dataset: as read from its source.
    settings: `config.dataset`; uses `label_noise.fraction`, `.seed`, `.kind`
      and `labels_path`.

  Returns:
    `dataset` itself, or a copy with other `train.labels` and with
    `original_labels`.

  Raises:
    DataDietError: if the file of labels does not fit the data.
  """
  noise = settings.label_noise
  if settings.labels_path and noise.fraction:
    raise ConfigError(
      'config.dataset.label_noise.fraction: '
      f'{noise.fraction} is not allowed with dataset.labels_path; allowed: 0.0'
    )
  if settings.labels_path:
    labels = read_labels(settings.labels_path, dataset)
  elif noise.fraction:
    labels = noisy_labels(
      dataset.train.labels,
      dataset.class_names,
      fraction=noise.fraction,
      seed=noise.seed,
      kind=noise.kind,
    )
  else:
    return dataset
  changed = labels != dataset.train.labels
  logging.info(
    '%s: %d of %d train labels changed (%s)',
    dataset.name,
    changed.sum(),
    len(labels),
    settings.labels_path or f'label noise, {noise.kind}',
  )
  return dataclasses.replace(
    dataset,
    train=dataclasses.replace(dataset.train, labels=labels),
    original_labels=dataset.train.labels,
  )


def noisy_labels(
  labels: np.ndarray,
  class_names: tuple[str, ...],
  *,
  fraction: float,
  seed: int,
  kind: str,
) -> np.ndarray:
  """Labels of which a random fraction is wrong.

  Args:
    labels: int32[num_examples].
    class_names: one per class.
    fraction: of the examples that are drawn to be changed; in [0, 1].
    seed: of the draw.
    kind: a key of `NOISES`.

  Returns:
    int32[num_examples].
  """
  rng = generator(seed, 0, LABEL_NOISE_STREAM)
  return NOISES[kind](labels.copy(), class_names, fraction, rng)


def _permute(labels, class_names, fraction, rng):
  """Labels of the drawn examples are permuted among themselves.

  The kind that "Deep Learning on a Data Diet" uses. Class counts stay, and by
  chance some of the drawn examples keep their label.
  """
  del class_names
  drawn = _draw(len(labels), fraction, rng)
  labels[drawn] = labels[rng.permutation(drawn)]
  return labels


def _uniform(labels, class_names, fraction, rng):
  """Each drawn example gets one of the other classes."""
  drawn = _draw(len(labels), fraction, rng)
  num_classes = len(class_names)
  if num_classes > 1:
    shift = rng.integers(1, num_classes, len(drawn))
    labels[drawn] = (labels[drawn] + shift) % num_classes
  return labels


def _asymmetric(labels, class_names, fraction, rng):
  """In each class, a fraction gets the label of one other class.

  For CIFAR-10's classes those of Patrini et al. 2017 (truck to automobile,
  bird to airplane, deer to horse, cat and dog to each other), which leaves the
  other five alone; otherwise the next class.
  """
  num_classes = len(class_names)
  if set(class_names) == _CIFAR10_CLASSES:
    targets = {
      class_names.index(name): class_names.index(target)
      for name, target in _CIFAR10_CONFUSIONS.items()
    }
  else:
    targets = {label: (label + 1) % num_classes for label in range(num_classes)}
  noisy = labels.copy()
  for label, target in sorted(targets.items()):
    members = np.flatnonzero(labels == label)
    noisy[members[_draw(len(members), fraction, rng)]] = target
  return noisy


def _draw(num_examples: int, fraction: float, rng) -> np.ndarray:
  return rng.choice(num_examples, round(fraction * num_examples), replace=False)


# (labels to change, class names, fraction, numpy generator) -> labels.
NOISES: dict[str, Callable[..., np.ndarray]] = {
  'permute': _permute,
  'uniform': _uniform,
  'asymmetric': _asymmetric,
}


def read_labels(path: str, dataset: Dataset) -> np.ndarray:
  """Reads labels for the train split from a file.

  Args:
    path: a .npy file of one integer per example in canonical order, or a CSV
      file with columns `id` and `label` and one row per example in any order;
      a label is a number or the name of a class.
    dataset: which the labels are for.

  Returns:
    int32[num_examples].

  Raises:
    DataDietError: if they do not fit; names the file and the example.
  """
  where = epath.Path(path).expanduser()
  if where.name.endswith('.npy'):
    labels = artifacts.read_npy(
      where, dataset.train.num_examples, made_here=False
    )
    if labels.ndim != 1 or labels.dtype.kind not in 'iu':
      raise DataDietError(
        f'{where} must hold {dataset.train.num_examples} integers, it has '
        f'{labels.dtype} {list(labels.shape)}'
      )
  elif where.name.endswith('.csv'):
    labels = _read_csv(where, dataset)
  else:
    raise ConfigError(
      f'config.dataset.labels_path: {path!r} is not allowed; allowed: a .npy '
      'or a .csv file'
    )
  outside = (labels < 0) | (labels >= dataset.num_classes)
  if outside.any():
    index = int(np.argmax(outside))
    raise DataDietError(
      f'{where}: example {str(dataset.train.ids[index])!r} has label '
      f'{labels[index]}, allowed are 0 to {dataset.num_classes - 1}'
    )
  return labels.astype(np.int32)


def _read_csv(path: epath.Path, dataset: Dataset) -> np.ndarray:
  try:
    # Spreadsheets put a mark before the first column's name.
    text = storage.read_bytes(path).decode('utf-8-sig')
    reader = csv.DictReader(io.StringIO(text))
    header = reader.fieldnames or []
    rows = list(reader)
  except FileNotFoundError as error:
    raise DataDietError(f'{os.fspath(path)} does not exist') from error
  except (UnicodeDecodeError, csv.Error) as error:
    raise DataDietError(f'{path} is not a CSV file ({error})') from error
  for needed in ('id', 'label'):
    if needed not in header:
      raise DataDietError(
        f'{path} has no column {needed!r}, it has {", ".join(header)}'
      )
  numbers = {name: label for label, name in enumerate(dataset.class_names)}
  index_of = {name: index for index, name in enumerate(dataset.train.ids)}
  labels = np.full(dataset.train.num_examples, -1, np.int64)
  seen = np.zeros(dataset.train.num_examples, bool)
  for row in rows:
    index = index_of.get(row['id'])
    if index is None:
      raise DataDietError(
        f'{path}: {row["id"]!r} is no id of a train example of {dataset.name}'
      )
    if seen[index]:
      raise DataDietError(f'{path} has the id {row["id"]!r} twice')
    seen[index] = True
    labels[index] = _label_number(row, numbers, path)
  if not seen.all():
    missing = dataset.train.ids[np.argmin(seen)]
    raise DataDietError(
      f'{path} has labels for {seen.sum()} of {len(seen)} train examples; '
      f'{str(missing)!r} is missing'
    )
  return labels


def _label_number(row: dict, numbers: dict[str, int], path) -> int:
  """A class name where there is one of that name, or else a number."""
  text = (row['label'] or '').strip()
  if text in numbers:
    return numbers[text]
  try:
    # Within what a label may be; the range is checked with all of them.
    return max(-1, min(int(text), 2**31))
  except ValueError as error:
    raise DataDietError(
      f'{path}: {row["id"]!r} has label {text!r}, which is neither a class '
      'name nor a number'
    ) from error
