"""Finds images that occur twice: exact copies and near duplicates."""

import dataclasses
import hashlib
import io
from typing import Any

import numpy as np
import pandas as pd

from datadiet.data.dataset import Dataset
from datadiet.workdir import artifacts

# Images are compared at this many pixels a side, after their mean was taken
# away and their contrast made equal: distances are 0 to 2.
_EDGE = 8
# Near duplicates are nearer than this part of the usual distance between an
# image and its last neighbour looked at: copies of an image fill up the first
# ones, and would draw the distance down to theirs.
NEAR_FRACTION = 0.23
_NUM_NEIGHBORS = 6
# Searching takes time with the square of the number of images (60,000: about
# half a minute on two cores), and reading with their size.
MAX_IMAGES = 120_000
_MAX_BYTES = 8e9
# Flat images have no contrast to be compared by.
_MIN_CONTRAST = 1.0
COLUMNS = (
  'split_a',
  'index_a',
  'id_a',
  'label_a',
  'split_b',
  'index_b',
  'id_b',
  'label_b',
  'distance',
  'exact',
)


@dataclasses.dataclass(frozen=True)
class Duplicates:
  """Pairs of images that are the same or nearly so.

  Attributes:
    pairs: `COLUMNS`, the nearest first; a is in train and comes before b.
    threshold: the distance below which pairs are near; None if near
      duplicates were not searched for.
    note: what was not searched for and why; '' if all was.
  """

  pairs: pd.DataFrame
  threshold: float | None
  note: str


def find_duplicates(dataset: Dataset) -> Duplicates:
  """Duplicates inside the train split and between train and test.

  Args:
    dataset: whose images are compared.
  """
  splits = (dataset.train, dataset.test)
  num_images = sum(split.num_examples for split in splits)
  num_bytes = sum(split.images.nbytes for split in splits)
  exact = _exact_pairs(dataset) if num_bytes <= _MAX_BYTES else set()
  if num_images > MAX_IMAGES or num_bytes > _MAX_BYTES:
    searched = 'near ones' if num_bytes <= _MAX_BYTES else 'them'
    note = (
      f'With {num_images:,} images of {num_bytes / 1e9:.1f} GB, a search for '
      f'{searched} was left out.'
    )
    return Duplicates(_table(dataset, exact, {}), None, note)
  near, threshold = _near_pairs(dataset)
  return Duplicates(_table(dataset, exact, near), threshold, '')


def _exact_pairs(dataset: Dataset) -> set[tuple[int, int]]:
  """(first, copy) of equal images, counted through train and then test."""
  num_train = dataset.train.num_examples
  first_with: dict[bytes, int] = {}
  pairs = set()
  for start, split in ((0, dataset.train), (num_train, dataset.test)):
    for position, image in enumerate(split.images, start):
      content = np.ascontiguousarray(image)
      digest = hashlib.blake2b(content, digest_size=16).digest()
      first = first_with.setdefault(digest, position)
      if first < min(position, num_train):
        pairs.add((first, position))
  return pairs


def _near_pairs(
  dataset: Dataset,
) -> tuple[dict[tuple[int, int], float], float]:
  """Pairs nearer than the threshold -> their distance, and the threshold."""
  from sklearn.neighbors import NearestNeighbors

  compared = [
    _compared(split.images) for split in (dataset.train, dataset.test)
  ]
  vectors = np.concatenate([found for found, _ in compared])
  contrast = np.concatenate([found for _, found in compared])
  searched = np.flatnonzero(contrast >= _MIN_CONTRAST)
  num_neighbors = min(_NUM_NEIGHBORS + 1, len(searched))
  if num_neighbors < 2:
    return {}, 0.0
  search = NearestNeighbors(n_neighbors=num_neighbors, algorithm='brute')
  search.fit(vectors[searched])
  # Without points to look up, an image is not its own neighbour.
  search.set_params(n_neighbors=num_neighbors - 1)
  distances, neighbors = search.kneighbors()
  threshold = NEAR_FRACTION * float(np.median(distances[:, -1]))
  pairs = {}
  for row, column in np.argwhere(distances < threshold):
    pair = (searched[row], searched[neighbors[row, column]])
    first, second = int(min(pair)), int(max(pair))
    if first < dataset.train.num_examples:
      pairs[first, second] = float(distances[row, column])
  return pairs, threshold


def _compared(
  images: np.ndarray, chunk_size: int = 2048
) -> tuple[np.ndarray, np.ndarray]:
  """The vectors by which images are compared.

  Args:
    images: uint8[num_images, height, width, channels].
    chunk_size: how many are held as floats at a time.

  Returns:
    vectors float32[num_images, ...] of length 1, and contrast
    float32[num_images], the standard deviation they were divided by.
  """
  starts = [
    np.arange(min(_EDGE, side)) * side // min(_EDGE, side)
    for side in images.shape[1:3]
  ]
  areas = np.outer(
    *(
      np.diff([*start, side])
      for start, side in zip(starts, images.shape[1:3], strict=True)
    )
  )
  vectors, contrast = [], []
  for start in range(0, len(images), chunk_size):
    chunk = np.asarray(images[start : start + chunk_size], np.float32)
    sums = np.add.reduceat(chunk, starts[0], axis=1)
    means = np.add.reduceat(sums, starts[1], axis=2) / areas[..., None]
    flat = means.reshape(len(chunk), -1)
    flat = flat - flat.mean(1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    vectors.append((flat / np.maximum(length, 1e-6)).astype(np.float32))
    contrast.append(length[:, 0] / np.sqrt(flat.shape[1]))
  return np.concatenate(vectors), np.concatenate(contrast)


def _table(dataset: Dataset, exact: set, near: dict) -> pd.DataFrame:
  num_train = dataset.train.num_examples

  def where(position: int) -> tuple:
    is_train = position < num_train
    split = dataset.train if is_train else dataset.test
    index = position if is_train else position - num_train
    name = 'train' if is_train else 'test'
    return name, index, str(split.ids[index]), int(split.labels[index])

  distances = near | dict.fromkeys(exact, 0.0)
  ordered = sorted(distances.items(), key=lambda item: (item[1], item[0]))
  rows = [
    (*where(pair[0]), *where(pair[1]), distance, int(pair in exact))
    for pair, distance in ordered
  ]
  return pd.DataFrame(rows, columns=list(COLUMNS))


def cached_duplicates(
  workdir: artifacts.Workdir, dataset: Dataset
) -> Duplicates:
  """As `find_duplicates`, but searches once and keeps the result in report/.

  Raises:
    DataDietError: if what was kept is of other data, or cannot be written.
  """
  folder = workdir.report / 'duplicates'
  expected: dict[str, Any] = {
    'kind': 'duplicates',
    'fingerprint': dataset.fingerprint,
    'labels_fingerprint': dataset.labels_fingerprint,
    'near_fraction': NEAR_FRACTION,
  }
  path = folder / 'pairs.csv'
  if artifacts.is_complete(folder, **expected) and path.exists():
    manifest = artifacts.read_json(folder / artifacts.MANIFEST)
    text = {'id_a': str, 'id_b': str}
    pairs = pd.read_csv(
      io.StringIO(path.read_text()), dtype=text, keep_default_na=False
    )
    return Duplicates(pairs, manifest['threshold'], manifest['note'])
  found = find_duplicates(dataset)
  artifacts.write_csv(path, COLUMNS, found.pairs.itertuples(index=False))
  notes = {'threshold': found.threshold, 'note': found.note}
  artifacts.write_manifest(folder, expected | notes)
  return found
