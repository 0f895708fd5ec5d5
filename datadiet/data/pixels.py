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


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Mean and standard deviation by channel of pixels scaled to [0, 1].

  Args:
    images: uint8[num_examples, height, width, channels].

  Returns:
    mean and std, float32[channels] each; a std of 0, which `check` tells of,
    is returned as 1.
  """
  channels = images.shape[-1]
  # Counting the 256 values is exact, whatever the number of pixels.
  histogram = np.zeros((channels, 256), np.int64)
  for chunk in chunks(images):
    for channel, counts in enumerate(histogram):
      counts += np.bincount(chunk[..., channel].reshape(-1), minlength=256)
  values = np.arange(256) / 255.0
  share = histogram / histogram.sum(1, keepdims=True)
  mean = share @ values
  variance = (share * np.square(values - mean[:, None])).sum(1)
  std = np.sqrt(variance)
  std[std == 0.0] = 1.0
  return mean.astype(np.float32), std.astype(np.float32)


def check(images: np.ndarray, ids: np.ndarray, where: str) -> None:
  """Checks that images look like images.

  Args:
    images: uint8[num_examples, height, width, channels].
    ids: of each.
    where: which they are, for messages.

  Raises:
    DataDietError: if all pixels are the same, or no value is above 1.
  """
  channels = images.shape[-1]
  constant: list[int] = []
  first, varies = images[0, 0, 0], np.zeros(channels, bool)
  maximum, start = 0, 0
  for chunk in chunks(images):
    constant.extend(start + np.flatnonzero(_are_constant(chunk)))
    for channel in np.flatnonzero(~varies):
      varies[channel] = (chunk[..., channel] != first[channel]).any()
    if maximum <= 1:
      maximum = max(maximum, int(chunk.max()))
    start += len(chunk)
  if not varies.any():
    raise DataDietError(
      f'{where}: all pixels of all {len(images)} images are the same, '
      f'{first.tolist()}; what they showed was lost before they came here'
    )
  if maximum <= 1:
    raise DataDietError(
      f'{where}: no pixel is above 1 of 255, so nearly all of what the images '
      'held is lost or not yet scaled; allowed: uint8 values from 0 to 255'
    )
  if not varies.all():
    logging.warning(
      '%s: channel %s of %d is the same everywhere: it carries no information',
      where,
      ', '.join(map(str, np.flatnonzero(~varies))),
      channels,
    )
  if constant:
    logging.warning(
      '%s: %d of %d images are of one colour alone: %s',
      where,
      len(constant),
      len(images),
      checks.listed([str(ids[i]) for i in constant]),
    )


def _are_constant(images: np.ndarray) -> np.ndarray:
  """bool[num]: which images have the same values at all pixels."""
  height, width = images.shape[1:3]
  grid = images[:, :: max(1, height // _GRID), :: max(1, width // _GRID)]
  are_constant = (grid == images[:, :1, :1]).all((1, 2, 3))
  for i in np.flatnonzero(are_constant):
    are_constant[i] = (images[i] == images[i, 0, 0]).all()
  return are_constant
