"""The data contract: splits, data sets, fingerprints.

`example_index` is an example's position in `Dataset.train`, in the canonical
order of its source. Nothing in the project re-sorts a split: subsets, noise
and shuffles carry indices instead.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from datadiet.data import checks
from datadiet.data.pixels import Survey, chunks
from datadiet.errors import ConfigError, DataDietError

# (split name, shape) -> uint8 array to decode into: in memory or, with the
# cache, a memory-mapped file, so that a set may be larger than memory. A source
# that can leave its images encoded also gives how to decode them, and is given
# a `PackedWriter` where they are to stay so.
Allocate = Callable[..., Any]


def in_memory(
  split_name: str, shape: tuple[int, ...], options: tuple[Any, ...] = ()
) -> np.ndarray:
  """An `Allocate` that takes memory."""
  del split_name, options
  return np.zeros(shape, np.uint8)


# Of `Split.columns`: an example's number in the arrays or tables it is from,
# also where a part of these became the test split.
ROW = 'row'


@dataclasses.dataclass(frozen=True)
class Split:
  """The examples of one split, in canonical order.

  Attributes:
    images: uint8[num_examples, height, width, channels]; may be memory-mapped.
    labels: int32[num_examples], in [0, num_classes).
    ids: str[num_examples]; unique, stable names such as 'train_16399'.
    columns: further values that the source has for each example, [num_examples]
      each, such as cinic10's 'origin', or the 'row' of its own files.
    crop_size: height and width that networks see of an image, in the middle
      but for training; 0 for all of it.
  """

  images: np.ndarray
  labels: np.ndarray
  ids: np.ndarray
  columns: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)
  crop_size: int = 0

  def __post_init__(self):
    lengths = {len(self.images), len(self.labels), len(self.ids)}
    for name, column in self.columns.items():
      if len(column) != len(self.labels):
        raise DataDietError(
          f'the column {name!r} of a split has {len(column)} values for '
          f'{len(self.labels)} labels'
        )
    if len(lengths) != 1:
      raise DataDietError(
        f'a split needs as many images as labels and ids, got '
        f'{len(self.images)}, {len(self.labels)} and {len(self.ids)}'
      )
    if self.images.dtype != np.uint8 or self.images.ndim != 4:
      raise DataDietError(
        'images must be uint8 [num_examples, height, width, channels], got '
        f'{self.images.dtype} {list(self.images.shape)}'
      )
    if self.labels.ndim != 1 or self.labels.dtype != np.int32:
      raise DataDietError(
        'labels must be int32 [num_examples], got '
        f'{self.labels.dtype} {list(self.labels.shape)}'
      )

  @property
  def num_examples(self) -> int:
    return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A labelled image data set with a train and a test split.

  Attributes:
    name: its name, as in `config.dataset.name`.
    train: the examples to be scored and pruned.
    test: the examples accuracy is measured on.
    class_names: one per class, in label order.
    mean: float32[channels], of pixels scaled to [0, 1]; for normalisation.
    std: float32[channels], likewise.
    fingerprint: hash of pixels, ids and original labels of both splits.
    original_labels: int32[num_train], where `train.labels` were changed on
      purpose (label noise, other annotations); None otherwise.
    skipped: files left out because they could not be read, where
      `config.dataset.skip_unreadable` allows it.
    extra_tests: further test splits by name, of the same classes; see
      `config.dataset.extra_tests`.
  """

  name: str
  train: Split
  test: Split
  class_names: tuple[str, ...]
  mean: np.ndarray
  std: np.ndarray
  fingerprint: str
  original_labels: np.ndarray | None = None
  skipped: tuple[str, ...] = ()
  extra_tests: Mapping[str, Split] = dataclasses.field(default_factory=dict)

  @property
  def num_classes(self) -> int:
    return len(self.class_names)

  @property
  def image_shape(self) -> tuple[int, int, int]:
    return tuple(self.train.images.shape[1:])

  @property
  def input_shape(self) -> tuple[int, int, int]:
    """What networks see: (height, width, channels)."""
    height, width, channels = self.image_shape
    crop = self.train.crop_size
    return (crop or height, crop or width, channels)

  @property
  def labels_fingerprint(self) -> str | None:
    """Hash of labels that were changed on purpose; None if none were."""
    if self.original_labels is None:
      return None
    return hashlib.sha256(self.train.labels.tobytes()).hexdigest()[:16]

  def description(self) -> dict:
    """The content of dataset.json."""
    return {
      'name': self.name,
      'num_examples': self.train.num_examples,
      'num_test_examples': self.test.num_examples,
      'num_classes': self.num_classes,
      'class_names': list(self.class_names),
      'image_shape': list(self.image_shape),
      'mean': [float(value) for value in self.mean],
      'std': [float(value) for value in self.std],
      'fingerprint': self.fingerprint,
      'labels_fingerprint': self.labels_fingerprint,
      'skipped': list(self.skipped),
      **self._extra_tests_description(),
    }

  def _extra_tests_description(self) -> dict:
    if not self.extra_tests:
      return {}
    return {
      'extra_tests': {
        name: {
          'num_examples': split.num_examples,
          'fingerprint': split_fingerprint(split),
        }
        for name, split in self.extra_tests.items()
      }
    }


def with_crop(dataset: Dataset, crop_size: int) -> Dataset:
  """A data set of whose images networks see a square alone.

  Args:
    dataset: any.
    crop_size: its height and width; 0 for whole images.

  Raises:
    ConfigError: if images are smaller.
  """
  height, width, _ = dataset.image_shape
  if crop_size > min(height, width):
    raise ConfigError(
      f'config.dataset.crop_size: {crop_size} is not allowed with images of '
      f'{height}x{width} pixels; allowed: at most {min(height, width)}, or '
      'another config.dataset.image_size'
    )
  return dataclasses.replace(
    dataset,
    train=dataclasses.replace(dataset.train, crop_size=crop_size),
    test=dataclasses.replace(dataset.test, crop_size=crop_size),
  )


def make_dataset(
  name: str,
  train: Split,
  test: Split,
  class_names: tuple[str, ...],
  *,
  mean: npt.ArrayLike | None = None,
  std: npt.ArrayLike | None = None,
  source: str = '',
  skipped: tuple[str, ...] = (),
) -> Dataset:
  """Checks two splits against each other and completes them to a data set.

  Args:
    name: the data set's name.
    train: the train split.
    test: the test split.
    class_names: one per class, in label order.
    mean: float32[channels] for normalisation; measured on `train` if None.
    std: likewise.
    source: the file or folder it comes from, for messages; `name` if ''.
    skipped: files that were left out.

  Raises:
    DataDietError: for labels out of range, duplicate ids, different image
      shapes, an empty split, fewer than two classes, or images without content
      (`Survey.check`).
  """
  checks.check_class_names(class_names, source or name)
  for split_name, split in (('train', train), ('test', test)):
    where = f'{source or name}, {split_name}'
    _check_split(where, split, len(class_names))
    checks.warn_of_empty_classes(split.labels, class_names, where)
  checks.check_labels(train.labels, class_names, f'{source or name}, train')
  if train.images.shape[1:] != test.images.shape[1:]:
    raise DataDietError(
      f'{source or name}: train images have shape {train.images.shape[1:]}, '
      f'test images {test.images.shape[1:]}; they must be the same'
    )
  digest, surveys = hashlib.sha256(), {}
  for split_name, split in (('train', train), ('test', test)):
    surveys[split_name] = survey = Survey(split.images)
    _digest(digest, split, survey.add)
    survey.check(split.ids, f'{source or name}, {split_name}')
  if mean is None or std is None:
    mean, std = surveys['train'].statistics()
  return Dataset(
    name=name,
    train=train,
    test=test,
    class_names=tuple(class_names),
    mean=np.asarray(mean, np.float32),
    std=np.asarray(std, np.float32),
    fingerprint=digest.hexdigest()[:16],
    skipped=tuple(skipped),
  )


def _check_split(where: str, split: Split, num_classes: int) -> None:
  if not split.num_examples:
    raise DataDietError(f'{where} has no examples')
  checks.check_range(split.labels, split.ids, num_classes, where)
  if len(set(split.ids.tolist())) < split.num_examples:
    unique, counts = np.unique(split.ids, return_counts=True)
    raise DataDietError(
      f'{where}: the id {str(unique[np.argmax(counts)])!r} occurs '
      f'{counts.max()} times; ids must be unique'
    )


def split_fingerprint(split: Split) -> str:
  """A hash of the pixels and labels of one split, in order."""
  digest = hashlib.sha256(repr(tuple(split.images.shape)).encode())
  for chunk in chunks(split.images):
    digest.update(np.ascontiguousarray(chunk))
  digest.update(split.labels.astype('<i4').tobytes())
  return digest.hexdigest()[:16]


def fingerprint(train: Split, test: Split) -> str:
  """A hash of the pixels, ids and labels of both splits, in order."""
  digest = hashlib.sha256()
  for split in (train, test):
    _digest(digest, split)
  return digest.hexdigest()[:16]


def _digest(
  digest: Any, split: Split, look: Callable[[np.ndarray], None] | None = None
) -> None:
  """Puts a split into a hash; `look` gets each part of its images, once."""
  digest.update(repr(split.images.shape).encode())
  for chunk in chunks(split.images):
    digest.update(np.ascontiguousarray(chunk))
    if look is not None:
      look(chunk)
  digest.update(split.labels.astype('<i4').tobytes())
  digest.update('\0'.join(split.ids.tolist()).encode())
