"""The flags of a forecast."""

import dataclasses

from absl import flags

from datadiet.errors import ConfigError

_COMPILE_FOR = flags.DEFINE_string(
  'compile_for',
  '',
  'A machine such as v5e:2x4 or h100:8: compiles the programs of the '
  'experiment for it, prints what they would take there, and runs nothing.',
)
_DATA_SHAPE = flags.DEFINE_list(
  'data_shape',
  [],
  'With --compile_for, the data: examples, test examples, height, width, '
  'channels, classes; of a known data set if not given.',
)
_PRICE = flags.DEFINE_float(
  'price_per_hour', 0.0, 'With --compile_for, US dollars a chip; 0 for a list.'
)


@dataclasses.dataclass(frozen=True)
class Request:
  """What to forecast.

  Attributes:
    machine: such as 'v5e:2x4'.
    data_shape: six integers; () for those of a known data set.
    price: US dollars an hour and chip; 0 for a list price.
  """

  machine: str
  data_shape: tuple[int, ...]
  price: float


def requested() -> Request | None:
  """The forecast that the command line asks for, if it does.

  Raises:
    ConfigError: if --data_shape is not six integers.
  """
  if not _COMPILE_FOR.value:
    return None
  shape = _DATA_SHAPE.value
  if shape and not (len(shape) == 6 and all(part.isdigit() for part in shape)):
    raise ConfigError(
      f'--data_shape: {",".join(shape)} is not allowed; allowed: six integers, '
      'such as 50000,10000,32,32,3,10'
    )
  return Request(_COMPILE_FOR.value, tuple(map(int, shape)), _PRICE.value)
