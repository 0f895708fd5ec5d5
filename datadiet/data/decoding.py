"""Decodes encoded images on all cores, into arrays that need not fit memory."""

import dataclasses
import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from absl import logging

from datadiet.data import checks
from datadiet.data.dataset import Allocate, Dataset, Split, make_dataset
from datadiet.data.findings import Findings
from datadiet.data.packed import PackedImages, PackedWriter
from datadiet.data.settings import DatasetSettings
from datadiet.decoders import worker
from datadiet.decoders.images import decode
from datadiet.decoders.pool import decoders, num_cores
from datadiet.errors import DataDietError, counted
from datadiet.runtime import stopping
from datadiet.runtime.progress import Progress, progress

# Limits of a chunk, which one worker decodes at a time.
_CHUNK_IMAGES = 256
_CHUNK_BYTES = 2**22
# With fewer images a worker, starting it takes longer than it saves.
_IMAGES_A_WORKER = 64
# Names listed in a message.
_NUM_UNREADABLE_LISTED = 19


class EncodedImage(NamedTuple):
  """One image to be decoded.

  Attributes:
    split_name: 'train' or 'test'.
    position: its row in the split.
    content: a path, or the bytes of a file.
    name: its name for messages.
  """

  split_name: str
  position: int
  content: str | bytes
  name: str


@dataclasses.dataclass
class Listing:
  """What is known of a split before its images are decoded.

  Attributes:
    ids: in canonical order.
    labels: of each.
    columns: see `Split.columns`.
  """

  ids: list[str]
  labels: list[int] | np.ndarray
  columns: Mapping[str, list | np.ndarray] = dataclasses.field(
    default_factory=dict
  )


def decoded_dataset(
  name: str,
  listings: Mapping[str, Listing],
  encoded: Iterable[EncodedImage],
  class_names: tuple[str, ...],
  *,
  settings: DatasetSettings,
  allocate: Allocate,
  source: str,
  mean: np.ndarray | None = None,
  std: np.ndarray | None = None,
) -> Dataset:
  """Decodes the images of a listed data set.

  Args:
    name: the data set's name.
    listings: of 'train' and 'test'.
    encoded: every listed image once, in any order.
    class_names: one per class, in label order.
    settings: `config.dataset`; uses `image_size`, `resize`, `background`
      and `skip_unreadable`.
    allocate: for the decoded images.
    source: the folder or file, for messages.
    mean: see `make_dataset`.
    std: see `make_dataset`.

  Raises:
    DataDietError: if images cannot be read and are not to be skipped, or a
      class would be left without any, if sizes differ and none was chosen, or
      for what `make_dataset` refuses.
  """
  splits, skipped = decoded_splits(
    name,
    listings,
    encoded,
    settings=settings,
    allocate=allocate,
    source=source,
  )
  if skipped:
    _check_classes_are_left(listings['train'], splits['train'], class_names)
  return make_dataset(
    name,
    splits['train'],
    splits['test'],
    class_names,
    mean=mean,
    std=std,
    source=source,
    skipped=tuple(skipped),
  )


def decoded_splits(
  name: str,
  listings: Mapping[str, Listing],
  encoded: Iterable[EncodedImage],
  *,
  settings: DatasetSettings,
  allocate: Allocate,
  source: str,
) -> tuple[dict[str, Split], list[str]]:
  """Decodes the images of listed splits, as `decoded_dataset` does.

  Returns:
    The splits by name, and the ids of images that were skipped.
  """
  decoder = _Decoder(
    {split_name: len(listing.ids) for split_name, listing in listings.items()},
    allocate,
    settings,
  )
  decoder.decode(iter(encoded), name, source)
  splits = {
    split_name: _finished_split(
      listing, decoder.images[split_name], decoder.skipped[split_name]
    )
    for split_name, listing in listings.items()
  }
  skipped = [
    listing.ids[position]
    for split_name, listing in listings.items()
    for position in sorted(decoder.skipped[split_name])
  ]
  if skipped:
    num_skipped = counted(len(skipped), 'unreadable image')
    listed = checks.listed(skipped)
    logging.warning('%s: skipped %s: %s', source, num_skipped, listed)
  return splits, skipped


def _check_classes_are_left(
  listing: Listing, split: Split, class_names: tuple[str, ...]
) -> None:
  gone = sorted({*np.unique(listing.labels)} - {*np.unique(split.labels)})
  if gone:
    raise DataDietError(
      f'no image of the class {class_names[gone[0]]!r} can be read; repair '
      'one, or remove the class'
    )


def _finished_split(
  listing: Listing, images: np.ndarray, skipped: set[int]
) -> Split:
  """A split without the skipped images; later ones move up."""
  kept = np.ones(len(listing.ids), bool)
  kept[list(skipped)] = False
  if skipped and not isinstance(images, PackedImages):
    target = min(skipped)
    for start in range(target, len(images), _CHUNK_IMAGES):
      rows = images[start : start + _CHUNK_IMAGES]
      rows = rows[kept[start : start + _CHUNK_IMAGES]]
      images[target : target + len(rows)] = rows
      target += len(rows)
    images = images[:target]
  return Split(
    images,
    np.asarray(listing.labels, np.int32)[kept],
    np.array(listing.ids, dtype=np.str_)[kept],
    {
      name: np.asarray(column)[kept] for name, column in listing.columns.items()
    },
  )


class _Decoder:
  """Decodes a stream of images into an array for each split.

  Attributes:
    images: uint8[num_examples, height, width, 3] by split.
    skipped: rows that could not be read, by split.
  """

  def __init__(
    self,
    counts: Mapping[str, int],
    allocate: Allocate,
    settings: DatasetSettings,
  ):
    self._counts = counts
    self._allocate = allocate
    # As `decode` takes them.
    self._options = (settings.image_size, settings.background, settings.resize)
    self._background = settings.background
    self._skip_unreadable = settings.skip_unreadable
    self._findings = Findings()
    self._refused: dict[str, str] = {}
    self.images: dict[str, Any] = {}
    self.skipped: dict[str, set[int]] = {name: set() for name in counts}

  def decode(
    self, encoded: Iterator[EncodedImage], name: str, source: str
  ) -> None:
    """Decodes everything, on several cores if there are enough images."""
    total = sum(self._counts.values())
    height, width, encoded = self._first_size(encoded, source)
    for split_name, count in self._counts.items():
      shape = (count, height, width, 3)
      self.images[split_name] = self._allocate(split_name, shape, self._options)
    num_images = max(
      1, min(_CHUNK_IMAGES, _CHUNK_BYTES // (height * width * 3))
    )
    num_workers = max(1, min(num_cores(), total // _IMAGES_A_WORKER))
    waiting: deque[tuple[list[EncodedImage], np.ndarray, Future]] = deque()
    with (
      decoders(num_workers) as decode_chunk,
      ThreadPoolExecutor(num_workers) as threads,
      progress(f'Decoding {name}', total, 'images') as bar,
    ):
      try:
        for chunk in _chunks(encoded, num_images):
          contents = [image.content for image in chunk]
          pixels = np.empty((len(chunk), height, width, 3), np.uint8)
          request = (pixels, contents, *self._options)
          found = threads.submit(decode_chunk, *request)
          waiting.append((chunk, pixels, found))
          # No more in flight than keeps the workers busy, to bound memory.
          if len(waiting) > 2 * num_workers:
            self._store(*waiting.popleft(), bar)
        while waiting:
          self._store(*waiting.popleft(), bar)
      finally:
        threads.shutdown(cancel_futures=True)
    self._raise_if_refused()
    self._findings.settle(self.images, source, self._background)
    for split_name, images in self.images.items():
      if isinstance(images, PackedWriter):
        self.images[split_name] = images.finish()

  def _first_size(self, encoded: Iterator[EncodedImage], source: str):
    """Height and width of all images, and all of them again."""
    seen = []
    for image in encoded:
      seen.append(image)
      try:
        height, width, _ = decode(image.content, *self._options)[0].shape
      except Exception as error:
        kind, reason = worker.kind(error), worker.reason(error)
        self._refuse(image, kind, reason)
        continue
      return height, width, itertools.chain(seen, encoded)
    self._raise_if_refused()
    raise DataDietError(f'{source} holds no image that can be read')

  def _store(
    self,
    chunk: list[EncodedImage],
    images: np.ndarray,
    found: Future,
    bar: Progress,
  ) -> None:
    errors, all_notes = found.result()
    bad = {position for position, _, _ in errors}
    for position, kind, reason in errors:
      if kind == worker.OTHER_SIZE:
        height, width = images.shape[1:3]
        raise DataDietError(
          f'{chunk[position].name} has {reason} pixels where others have '
          f'{width}x{height}; set config.dataset.image_size to resize all to '
          'one size'
        )
      self._refuse(chunk[position], kind, reason)
    for position, notes in all_notes:
      image = chunk[position]
      self._findings.add(image.split_name, image.position, notes)
    for split_name, destination in self.images.items():
      rows = [i for i, image in enumerate(chunk) if image[0] == split_name]
      if isinstance(destination, PackedWriter):
        for i in (row for row in rows if row not in bad):
          destination.append(chunk[i].position, chunk[i].content)
      elif rows:
        destination[[chunk[i].position for i in rows]] = images[rows]
    bar.advance(len(chunk))
    stopping.raise_if_requested()

  def _refuse(self, image: EncodedImage, kind: str, reason: str) -> None:
    # A file without read permission may be a good picture.
    if self._skip_unreadable and kind != worker.NOT_READ:
      self.skipped[image.split_name].add(image.position)
    else:
      self._refused[image.name] = reason

  def _raise_if_refused(self) -> None:
    """Raises one error that lists all images that cannot be read."""
    names = list(self._refused)
    if not names:
      return
    name, reason = names[0], self._refused[names[0]]
    if len(names) > 1:
      others = checks.listed(names[1:], _NUM_UNREADABLE_LISTED)
      reason += f'), nor {len(names) - 1} others ({others}'
    remedy = 'remove it' if len(names) == 1 else 'remove them'
    if not self._skip_unreadable:
      remedy += ', or leave out such files by '
      remedy += 'config.dataset.skip_unreadable=True'
    raise DataDietError(
      f'{name} cannot be read as an image ({reason}); {remedy}'
    )


def _chunks(
  encoded: Iterator[EncodedImage], num_images: int
) -> Iterator[list[EncodedImage]]:
  """Groups of images, limited in number and in bytes held."""
  chunk, num_bytes = [], 0
  for image in encoded:
    chunk.append(image)
    if isinstance(image.content, bytes):
      num_bytes += len(image.content)
    if len(chunk) == num_images or num_bytes >= _CHUNK_BYTES:
      yield chunk
      chunk, num_bytes = [], 0
  if chunk:
    yield chunk
