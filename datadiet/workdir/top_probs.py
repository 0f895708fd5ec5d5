"""Predictions of many classes: of each example the most probable ones.

Whole, those of 1.28 million examples and 1,000 classes would take 5 GB a run;
these take 154 MB.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from etils import epath

from datadiet.workdir import score_arrays, storage

# Classes that are kept of each example.
NUM_KEPT = 20
WHOLE = 'pred_probs'
CLASSES, PROBS = TOP_ARRAYS = ('top_classes', 'top_probs')
# Values of rows that are made at a time: what processors have at hand.
_BLOCK_VALUES = 2**18


class TopProbs:
  """A read-only array [N, num_classes] that keeps a few values of each row.

  What these leave of a row's sum, 1, is spread evenly over all other classes. A
  label in use that is among those gets no value of its own either: it is
  compared with labels that are wrong on purpose, most of which are there too.

  It gives rows, float32[n, num_classes], for a slice or an array of indices or
  of bools; and values, float32[n], for a pair of arrays of indices.

  Attributes:
    classes: int16 or int32[N, k], distinct, the most probable first.
    probs: float32[N, k], theirs.
    shape: (N, num_classes).
    block_size: rows that are to be made at a time.
  """

  def __init__(self, classes: np.ndarray, probs: np.ndarray, num_classes: int):
    self.classes, self.probs = classes, probs
    self.shape = (len(classes), num_classes)
    self.block_size = max(1, _BLOCK_VALUES // num_classes)

  def __len__(self) -> int:
    return self.shape[0]

  def __getitem__(self, key: Any) -> np.ndarray:
    if isinstance(key, tuple):
      return self._values(*key)
    classes, probs = self.classes[key], self.probs[key]
    rest = self._rest(probs)[..., None]
    rows = np.repeat(rest, self.shape[1], axis=-1)
    np.put_along_axis(rows, classes, probs, axis=-1)
    return rows

  def _values(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    probs = self.probs[rows]
    is_it = self.classes[rows] == np.asarray(columns)[..., None]
    kept = np.where(is_it, probs, 0).sum(-1)
    return np.where(is_it.any(-1), kept, self._rest(probs))

  def _rest(self, probs: np.ndarray) -> np.ndarray:
    """The probability of each class that is not kept, float32[...]."""
    num_others = max(1, self.shape[1] - probs.shape[-1])
    left = 1 - probs.sum(-1, dtype=np.float64)
    return (left.clip(0) / num_others).astype(np.float32)

  def __array__(self, dtype: Any = None, copy: bool | None = None):
    return np.asarray(self[:], dtype)

  def argmax(self, axis: int = 1, out: None = None) -> np.ndarray:
    """The most probable class of each row, int64[N]."""
    if axis not in (1, -1) or out is not None:
      raise TypeError('there is a most probable class of each row alone')
    return self.classes[:, 0].astype(np.int64)

  def blocks(self) -> Iterator[slice]:
    """Slices of `block_size` rows, one after the other."""
    for start in range(0, len(self), self.block_size):
      yield slice(start, start + self.block_size)


PredProbs = np.ndarray | TopProbs


def class_type(num_classes: int) -> type[np.signedinteger]:
  """The smaller of int16 and int32 that can number the classes."""
  return np.int16 if num_classes <= np.iinfo(np.int16).max else np.int32


def keep_most_probable(rows: Iterable[np.ndarray]) -> TopProbs:
  """Keeps the most probable classes of each example.

  Args:
    rows: float[n, num_classes] for one block of examples after the other.
  """
  kept = []
  for block in rows:
    num_classes = block.shape[1]
    num_kept = min(NUM_KEPT, num_classes)
    classes = np.sort(np.argpartition(-block, num_kept - 1)[:, :num_kept])
    probs = np.take_along_axis(block, classes, 1)
    order = np.argsort(-probs, axis=1, kind='stable')
    classes = np.take_along_axis(classes, order, 1)
    probs = np.take_along_axis(probs, order, 1).astype(np.float32)
    kept.append((classes.astype(class_type(num_classes)), probs))
  classes, probs = map(np.concatenate, zip(*kept, strict=True))
  return TopProbs(classes, probs, num_classes)


def is_less_than_whole(num_classes: int) -> bool:
  """Whether the most probable classes take fewer bytes than all do."""
  kept = min(NUM_KEPT, num_classes)
  a_class = np.dtype(class_type(num_classes)).itemsize + 4
  return kept * a_class < 4 * num_classes


def others(names: Collection[str]) -> tuple[str, ...]:
  """The arrays of predictions that take the place of none of these arrays."""
  if WHOLE in names:
    return TOP_ARRAYS
  return (WHOLE,) if PROBS in names else ()


def are_in(folder: epath.Path) -> bool:
  """Whether a folder of scores has predictions, whole or not."""
  return any((folder / f'{name}.npy').exists() for name in (WHOLE, PROBS))


def are_whole_in(folder: epath.Path) -> bool:
  """Whether a folder of scores has whole predictions."""
  return (folder / f'{WHOLE}.npy').exists()


def read(
  folder: epath.Path,
  num_examples: int | None,
  num_classes: int,
  manifest: Mapping[str, Any] | None = None,
) -> PredProbs:
  """Reads the predictions of a folder of scores, whole where they are there.

  Args:
    folder: of `Workdir.scores`.
    num_examples: N; None to take any.
    num_classes: of the data set.
    manifest: of the folder.

  Raises:
    DataDietError: if they are missing, damaged or of another length.
  """

  def array(name: str) -> np.ndarray:
    return score_arrays.read(folder, name, num_examples, manifest)

  if are_whole_in(folder) or not are_in(folder):
    return array(WHOLE)
  return TopProbs(array(CLASSES), array(PROBS), num_classes)


def write(folder: epath.Path, pred_probs: PredProbs) -> dict[str, int]:
  """Writes predictions; removes those of the other kind.

  Returns:
    The checksum of each array, for the manifest.
  """
  if isinstance(pred_probs, TopProbs):
    arrays = {CLASSES: pred_probs.classes, PROBS: pred_probs.probs}
  else:
    arrays = {WHOLE: pred_probs}
  for name in others(arrays):
    storage.remove(folder / f'{name}.npy')
  return score_arrays.write(folder, arrays)
