"""Converts TFDS's images to 8 bits, opaque, upright, as other sources give."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import ImageColor

from datadiet.decoders.images import noted_orientation, turn
from datadiet.errors import DataDietError


def check_dtype(feature: Any, where: str) -> None:
  """Checks that an image feature has 8 bits a value.

  Args:
    feature: of TFDS.
    where: the data set, for messages.

  Raises:
    DataDietError: for others, whose range of values is not known.
  """
  dtype = np.dtype(getattr(feature, 'np_dtype', np.uint8))
  if dtype != np.uint8:
    raise DataDietError(
      f'{where}: its images are {dtype.name} and the set does not say which '
      'value is white; allowed: uint8, or the images as files of an '
      'image_folder, where 16-bit greys are scaled by what all of them hold'
    )


def opaque(tf: Any, image: Any, background: str) -> Any:
  """Lays an image with an alpha channel on a background.

  Args:
    tf: TensorFlow.
    image: uint8[height, width, 1 to 4]; of 2 or 4 channels the last is alpha.
    background: `config.dataset.background`.

  Returns:
    uint8[height, width, 1 or 3].
  """
  channels = image.shape[-1]
  if channels not in (2, 4):
    return image
  colour = ImageColor.getcolor(background, 'RGB' if channels == 4 else 'L')
  values = tf.cast(image, tf.float32)
  alpha = values[..., -1:] / 255
  behind = tf.reshape(tf.constant(colour, tf.float32), [-1])
  mixed = alpha * values[..., :-1] + (1 - alpha) * behind
  return tf.cast(tf.round(mixed), tf.uint8)


def upright(
  images: np.ndarray, encoded: Sequence[bytes], where: str
) -> np.ndarray:
  """Turns decoded images as their files note it, which TensorFlow does not.

  Args:
    images: uint8[num, height, width, channels].
    encoded: the file of each.
    where: the data set, for messages.

  Raises:
    DataDietError: if one would have another shape then.
  """
  turned = {}
  for i, content in enumerate(encoded):
    orientation = noted_orientation(content)
    if orientation > 1:
      turned[i] = turn(images[i], orientation)
      if turned[i].shape != images[i].shape:
        raise DataDietError(
          f'{where}: images lie on their sides, and differ in size once they '
          'are turned; set config.dataset.image_size to resize them to one'
        )
  if turned:
    images = images.copy()
    images[list(turned)] = list(turned.values())
  return images
