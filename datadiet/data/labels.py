"""Labels changed on purpose: noise, or other annotations of the images.

Only the labels of the train split change: the examples, their order, their ids
and the fingerprint stay, and the original labels are kept beside.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from datadiet.data.dataset import Dataset
from datadiet.data.label_files import read_labels
from datadiet.errors import ConfigError
from datadiet.runtime.randomness import LABEL_NOISE_STREAM, generator
from datadiet.settings import checks, setting

if TYPE_CHECKING:
  from datadiet.data.settings import DatasetSettings

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


@dataclasses.dataclass(frozen=True)
class LabelNoiseSettings:
  """Which train labels are changed on purpose, and how."""

  fraction: float = setting(
    0.0, checks.share, 'Share of the train labels drawn to be changed.'
  )
  seed: int = setting(
    0, checks.integer(), 'The seed that wrong labels are drawn by.'
  )
  kind: str = setting(
    'permute', checks.one_of(lambda: NOISES), 'How they are changed.'
  )


def apply_labels(dataset: Dataset, settings: 'DatasetSettings') -> Dataset:
  """The data set with the train labels that the settings ask for.

  Args:
    dataset: as read from its source.
    settings: `config.dataset`; uses `label_noise.fraction`, `.seed`, `.kind`,
      `labels_path`, `labels_are` and `labels_order`.

  Returns:
    `dataset` itself, or a copy with other `train.labels` and with
    `original_labels`.

  Raises:
    ConfigError: if the settings do not go together.
    DataDietError: if the file of labels does not fit the data.
  """
  noise = settings.label_noise
  _check_together(settings)
  if settings.labels_path:
    labels = read_labels(
      settings.labels_path,
      dataset,
      are=settings.labels_are,
      order=settings.labels_order,
    )
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
  if settings.labels_path and 2 * changed.sum() > len(labels):
    logging.warning(
      '%s changes more than half of the labels. Likely causes: its rows are in '
      'another order than the examples (a table with a column id cannot be), '
      'it numbers the classes in another order than %s (names of classes '
      'cannot), or it belongs to other data',
      settings.labels_path,
      ', '.join(dataset.class_names[:10]),
    )
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


def _check_together(settings: 'DatasetSettings') -> None:
  for name in ('labels_are', 'labels_order'):
    if getattr(settings, name) and not settings.labels_path:
      raise ConfigError(
        f'config.dataset.{name}: {getattr(settings, name)!r} is not allowed '
        "without dataset.labels_path; allowed: ''"
      )
  fraction = settings.label_noise.fraction
  if settings.labels_path and fraction:
    raise ConfigError(
      f'config.dataset.label_noise.fraction: {fraction} is not allowed with '
      'dataset.labels_path; allowed: 0.0'
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
