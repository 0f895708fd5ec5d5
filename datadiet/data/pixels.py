"""Statistics and checks of pixels that need not fit in memory."""

from collections.abc import Iterator

import numpy as np
from absl import logging

from datadiet.data import checks
from datadiet.errors import DataDietError

# Bytes of pixels looked at in one go.
_CHUNK_BYTES = 2**24
# Pixels along each side that an image is looked at by before all of it is.
_GRID = 8


def chunks(images: np.ndarray) -> Iterator[np.ndarray]:
  """Consecutive parts of images, small enough to work on in memory."""
  rows = max(1, _CHUNK_BYTES // max(1, int(np.prod(images.shape[1:]))))
  for start in range(0, len(images), rows):
    yield images[start : start + rows]


class Survey:
  """What images show, learnt part by part, so that they are read once."""

  def __init__(self, images: np.ndarray):
    """Has seen nothing yet.

    Args:
      images: uint8[num_examples, height, width, channels], to be seen in parts.
    """
    self._num_examples, channels = len(images), images.shape[-1]
    # Counting the 256 values is exact, whatever the number of pixels.
    self._histogram = np.zeros((channels, 256), np.int64)
    self._constant: list[int] = []
    self._num_seen = 0

  def add(self, chunk: np.ndarray) -> None:
    """Looks at the next images, uint8[num, height, width, channels]."""
    for channel, counts in enumerate(self._histogram):
      counts += _count(chunk[..., channel])
    constant = np.flatnonzero(_are_constant(chunk))
    self._constant.extend((self._num_seen + constant).tolist())
    self._num_seen += len(chunk)

  def statistics(self) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation by channel of pixels scaled to [0, 1].

    Returns:
      mean and std, float32[channels] each; a std of 0, which `check` tells of,
      is returned as 1.
    """
    values = np.arange(256) / 255.0
    share = self._histogram / self._histogram.sum(1, keepdims=True)
    mean = share @ values
    variance = (share * np.square(values - mean[:, None])).sum(1)
    std = np.sqrt(variance)
    std[std == 0.0] = 1.0
    return mean.astype(np.float32), std.astype(np.float32)

  def check(self, ids: np.ndarray, where: str) -> None:
    """Checks that the images look like images.

    Args:
      ids: of each.
      where: which they are, for messages.

    Raises:
      DataDietError: if all pixels are the same, or no value is above 1.
    """
    occur = self._histogram > 0
    same = np.flatnonzero(occur.sum(1) == 1)
    num_channels = len(occur)
    if len(same) == num_channels:
      raise DataDietError(
        f'{where}: all pixels of all {self._num_examples} images are the same, '
        f'{occur.argmax(1).tolist()}; what they showed was lost before they '
        'came here'
      )
    if not occur[:, 2:].any():
      raise DataDietError(
        f'{where}: no pixel is above 1 of 255, so nearly all of what the '
        'images held is lost or not yet scaled; allowed: uint8 values from 0 '
        'to 255'
      )
    if len(same):
      logging.warning(
        '%s: channel %s of %d is the same everywhere: it carries no '
        'information',
        where,
        ', '.join(map(str, same)),
        num_channels,
      )
    if self._constant:
      logging.warning(
        '%s: %d of %d images are of one colour alone: %s',
        where,
        len(self._constant),
        self._num_examples,
        checks.listed([str(ids[i]) for i in self._constant]),
      )


def survey(images: np.ndarray) -> Survey:
  """What all of some images show."""
  seen = Survey(images)
  for chunk in chunks(images):
    seen.add(chunk)
  return seen


def _count(values: np.ndarray) -> np.ndarray:
  """How often each value occurs, int64[256], of uint8[...].

  Two at a time, which takes half of the time.
  """
  values = np.ascontiguousarray(values).reshape(-1)
  pairs = values[: len(values) // 2 * 2].view(np.uint16)
  table = np.bincount(pairs, minlength=2**16).reshape(256, 256)
  counts = table.sum(0) + table.sum(1)
  if len(values) % 2:
    counts[values[-1]] += 1
  return counts


def _are_constant(images: np.ndarray) -> np.ndarray:
  """bool[num]: which images have the same values at all pixels."""
  height, width = images.shape[1:3]
  grid = images[:, :: max(1, height // _GRID), :: max(1, width // _GRID)]
  are_constant = (grid == images[:, :1, :1]).all((1, 2, 3))
  for i in np.flatnonzero(are_constant):
    are_constant[i] = (images[i] == images[i, 0, 0]).all()
  return are_constant
