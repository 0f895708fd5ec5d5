"""Collects what decoding finds out about the images of a whole set."""

from collections import Counter
from typing import Any

import numpy as np
from absl import logging

from datadiet.decoders.images import Notes, shift_for
from datadiet.errors import DataDietError

# Colour images of 16 bits whose upper 8 stay below this hold 14 bits or fewer.
_DARK = 64
# An image of so many bits fewer than the brightest one would keep 16 levels.
_LOST_BITS = 4


class Findings:
  """Collects notes on single images and acts on them for the whole set."""

  def __init__(self):
    self._counts: Counter[str] = Counter()
    self._maximum = self._deep_colour = -1
    self._shifts: dict[str, dict[int, int]] = {}

  def add(self, split_name: str, position: int, notes: Notes) -> None:
    """Takes the notes on one image."""
    self._counts['transparent'] += notes.is_transparent
    self._counts['frames'] += notes.has_frames
    self._counts['exif'] += notes.has_bad_exif
    self._deep_colour = max(self._deep_colour, notes.deep_colour)
    self._counts['deep colour'] += notes.deep_colour >= 0
    if notes.maximum >= 0:
      self._maximum = max(self._maximum, notes.maximum)
      self._shifts.setdefault(split_name, {})[position] = notes.shift

  def settle(
    self, images: dict[str, Any], source: str, background: str
  ) -> None:
    """Scales all 16-bit images alike, in place, and logs the findings.

    Args:
      images: uint8[num, height, width, 3] of each split.
      source: the folder or file, for messages.
      background: `config.dataset.background`.

    Raises:
      DataDietError: if nearly all that colour images hold was dropped.
    """
    if 0 <= self._deep_colour < _DARK:
      raise DataDietError(
        f'{source}: its {self._counts["deep colour"]} colour images of 16 bits '
        f'hold no value above {256 * (self._deep_colour + 1) - 1} of 65535, '
        f'which leaves {self._deep_colour + 1} of 256 levels; save them with '
        '8 bits a colour, scaled by their own maximum'
      )
    if self._maximum >= 0:
      if any(not isinstance(array, np.ndarray) for array in images.values()):
        raise DataDietError(
          f'{source} has images of 16 bits a pixel, which are scaled by what '
          "the whole set holds; allowed: config.dataset.placement='host'"
        )
      self._check_depths(source)
      self._scale_alike(images)
      logging.info(
        '%s: %d images have 16 bits a pixel and values up to %d: white is %d',
        source,
        sum(map(len, self._shifts.values())),
        self._maximum,
        256 * 2 ** shift_for(self._maximum) - 1,
      )
    for what, text in (
      ('transparent', f'are transparent: laid on {background}'),
      ('frames', 'have several frames or pages: the first is taken'),
      ('exif', 'have a damaged EXIF block: taken as they lie'),
    ):
      if self._counts[what]:
        logging.info('%s: %d images %s', source, self._counts[what], text)

  def _check_depths(self, source: str) -> None:
    """Refuses a set of which a few images would leave the others no levels."""
    shift = shift_for(self._maximum)
    shifts = {
      (split_name, position): one
      for split_name, of_split in self._shifts.items()
      for position, one in of_split.items()
    }
    dark = sum(one <= shift - _LOST_BITS for one in shifts.values())
    if 2 * dark > len(shifts):
      split_name, position = max(shifts, key=shifts.__getitem__)
      raise DataDietError(
        f'{source}: {dark} of its {len(shifts)} images of 16 bits a pixel use '
        'less than a sixteenth of the range of the brightest, image '
        f'{position} of {split_name}, with values up to {self._maximum}, so '
        'that they would keep 16 of 256 levels; remove the few bright ones, or '
        'scale them as the others'
      )

  def _scale_alike(self, images: dict[str, np.ndarray]) -> None:
    shift = shift_for(self._maximum)
    for split_name, shifts in self._shifts.items():
      for position, done in shifts.items():
        if done < shift:
          images[split_name][position] >>= shift - done
