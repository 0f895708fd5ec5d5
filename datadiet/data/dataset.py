"""The data contract: splits, data sets, fingerprints.

`example_index` is an example's position in `Dataset.train`, in the canonical
order of its source. Nothing in the project re-sorts a split: subsets, noise
and shuffles carry indices instead.
"""

import dataclasses
import hashlib

import numpy as np

from datadiet.errors import DataDietError


@dataclasses.dataclass(frozen=True)
class Split:
  """The examples of one split, in canonical order.

  Attributes:
    images: uint8[num_examples, height, width, channels]; may be memory-mapped.
    labels: int32[num_examples], in [0, num_classes).
    ids: str[num_examples]; unique, stable names such as 'train_16399'.
  """

  images: np.ndarray
  labels: np.ndarray
  ids: np.ndarray

  def __post_init__(self):
    lengths = {len(self.images), len(self.labels), len(self.ids)}
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

  @property
  def num_examples(self) -> int:
    return len(self.labels)


@dataclasses.dataclass(frozen=True)
class Dataset:
  """A labelled image data set with a train and a test split.

  Attributes:
    name: the name it is known by, as in `config.dataset.name`.
    train: the examples to be scored and pruned.
    test: the examples accuracy is measured on.
    class_names: one per class, in label order.
    mean: float32[channels], of pixels scaled to [0, 1]; for normalisation.
    std: float32[channels], likewise.
    fingerprint: hash of pixels, ids and original labels of both splits.
    original_labels: int32[num_train], where `train.labels` were changed on
      purpose (label noise, other annotations); None otherwise.
  """

  name: str
  train: Split
  test: Split
  class_names: tuple[str, ...]
  mean: np.ndarray
  std: np.ndarray
  fingerprint: str
  original_labels: np.ndarray | None = None

  @property
  def num_classes(self) -> int:
    return len(self.class_names)

  @property
  def image_shape(self) -> tuple[int, int, int]:
    return tuple(self.train.images.shape[1:])

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
    }


def make_dataset(
  name: str,
  train: Split,
  test: Split,
  class_names: tuple[str, ...],
  *,
  mean: np.ndarray | None = None,
  std: np.ndarray | None = None,
) -> Dataset:
  """Checks two splits against each other and completes them to a data set.

  Args:
    name: the data set's name.
    train: the train split.
    test: the test split.
    class_names: one per class, in label order.
    mean: float32[channels] for normalisation; measured on `train` if None.
    std: likewise.

  Raises:
    DataDietError: for labels out of range, duplicate ids, different image
      shapes, or an empty split.
  """
  for split_name, split in (('train', train), ('test', test)):
    _check_split(f'{name}/{split_name}', split, len(class_names))
  if train.images.shape[1:] != test.images.shape[1:]:
    raise DataDietError(
      f'{name}: train images have shape {train.images.shape[1:]}, test images '
      f'{test.images.shape[1:]}; they must be the same'
    )
  if mean is None or std is None:
    mean, std = channel_statistics(train.images)
  return Dataset(
    name=name,
    train=train,
    test=test,
    class_names=tuple(class_names),
    mean=np.asarray(mean, np.float32),
    std=np.asarray(std, np.float32),
    fingerprint=fingerprint(train, test),
  )


def _check_split(where: str, split: Split, num_classes: int) -> None:
  if not split.num_examples:
    raise DataDietError(f'{where} has no examples')
  outside = (split.labels < 0) | (split.labels >= num_classes)
  if outside.any():
    index = int(np.argmax(outside))
    raise DataDietError(
      f'{where}: example {split.ids[index]!r} has label '
      f'{split.labels[index]}, allowed are 0 to {num_classes - 1}'
    )
  unique, counts = np.unique(split.ids, return_counts=True)
  if len(unique) < split.num_examples:
    raise DataDietError(
      f'{where}: the id {str(unique[np.argmax(counts)])!r} occurs '
      f'{counts.max()} times; ids must be unique'
    )


def channel_statistics(
  images: np.ndarray, chunk_size: int = 4096
) -> tuple[np.ndarray, np.ndarray]:
  """Mean and standard deviation by channel of pixels scaled to [0, 1].

  Args:
    images: uint8[num_examples, height, width, channels].
    chunk_size: how many images are held as float64 at a time.

  Returns:
    mean and std, float32[channels] each; a std of 0 is returned as 1.
  """
  channels = images.shape[-1]
  total = np.zeros(channels)
  total_squares = np.zeros(channels)
  for start in range(0, len(images), chunk_size):
    chunk = images[start : start + chunk_size].reshape(-1, channels) / 255.0
    total += chunk.sum(0)
    total_squares += np.square(chunk).sum(0)
  num_pixels = images.size // channels
  mean = total / num_pixels
  std = np.sqrt(np.maximum(total_squares / num_pixels - mean**2, 0.0))
  std[std == 0.0] = 1.0
  return mean.astype(np.float32), std.astype(np.float32)


def fingerprint(train: Split, test: Split) -> str:
  """A hash of the pixels, ids and labels of both splits, in order."""
  digest = hashlib.sha256()
  for split in (train, test):
    digest.update(repr(split.images.shape).encode())
    for start in range(0, split.num_examples, 4096):
      digest.update(np.ascontiguousarray(split.images[start : start + 4096]))
    digest.update(split.labels.astype('<i4').tobytes())
    digest.update('\0'.join(map(str, split.ids)).encode())
  return digest.hexdigest()[:16]
