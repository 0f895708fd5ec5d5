"""How the page speaks of the flags of images."""

from typing import NamedTuple


class Fault(NamedTuple):
  """How the page speaks of a flag.

  Attributes:
    adjective: as it stands before "images".
    text: what it says of an image.
  """

  adjective: str
  text: str


# Flag -> how the page speaks of it.
FAULTS = {
  'outlier': Fault('unusual', 'unlike all other images'),
  'dark': Fault('dark', 'nearly black'),
  'bright': Fault('too bright', 'nearly white'),
  'blurry': Fault('blurred', 'without a sharp edge'),
  'low_information': Fault('nearly empty', 'nearly of one tone'),
  'grey': Fault('grey', 'grey, where others are coloured'),
  'border': Fault('framed', 'framed by one colour'),
  'odd_aspect_ratio': Fault(
    'oddly shaped', 'a file three times as long as wide, or more'
  ),
  'odd_size': Fault(
    'oddly sized', 'a file four times as large or small as usual, or more'
  ),
}


def fault(name: str) -> Fault:
  """How the page speaks of a flag, by its name where nothing else is known."""
  return FAULTS.get(name, Fault(name.replace('_', ' '), ''))
