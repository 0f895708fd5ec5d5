"""Machines to compile for: a kind of chip and how many of them."""

import dataclasses
import importlib.util
import math
import re
from typing import Any

from jax.experimental import topologies

from datadiet.errors import ConfigError, DataDietError
from datadiet.settings import closest


@dataclasses.dataclass(frozen=True)
class Chip:
  """One kind of chip, as its maker describes it.

  Attributes:
    name: for people.
    topology: its name for the compiler, before the colon.
    memory: bytes of a chip.
    hertz: cycles a second: the maker's peak in bfloat16 over what its matrix
      units do in a cycle (v5e: 197e12 / (2 * 4 * 128 * 128)).
    price: US dollars an hour and chip, a list price on demand.
  """

  name: str
  topology: str
  memory: int
  hertz: float
  price: float


_GIB = 2**30
# Name on the command line -> the chip.
CHIPS: dict[str, Chip] = {
  'v4': Chip('TPU v4', 'v4', 32 * _GIB, 1.05e9, 3.22),
  'v5e': Chip('TPU v5e', 'v5e', 16 * _GIB, 1.5e9, 1.20),
  'v5p': Chip('TPU v5p', 'v5p', 95 * _GIB, 1.75e9, 4.20),
  'v6e': Chip('TPU v6e', 'v6e', 32 * _GIB, 1.75e9, 2.70),
}


@dataclasses.dataclass(frozen=True)
class Machine:
  """TPU chips to compile for; this host need not have them.

  Attributes:
    name: as given, such as 'v5e:2x4'.
    chip: what kind they are.
    devices: for meshes and shardings to compile for.
  """

  name: str
  chip: Chip
  devices: list[Any]


def open_machine(name: str) -> Machine:
  """Loads the compiler for a machine.

  `runtime.starting` has kept this process from looking for TPUs.

  Args:
    name: CHIP:AxB or CHIP:AxBxC, such as 'v5e:2x4' and 'v4:2x2x4'.

  Raises:
    ConfigError: for a name that is none.
    DataDietError: if the compiler is not installed, or knows no such shape.
  """
  kind, _, shape = name.partition(':')
  if kind not in CHIPS or not re.fullmatch(r'\d+(x\d+)+', shape):
    raise ConfigError(
      f'--compile_for: {name!r} is not allowed; allowed: CHIP:SHAPE, one of '
      f'{", ".join(CHIPS)} with a shape such as 2x4, or 2x2x4 for v4 and v5p'
      f'{closest(kind, CHIPS)}'
    )
  if importlib.util.find_spec('libtpu') is None:
    raise DataDietError(
      '--compile_for: the compiler for TPUs is not installed; install it by '
      "pip install 'datadiet[tpu]' (Linux on x86-64; no TPU is needed)"
    )
  chip = CHIPS[kind]
  try:
    description = topologies.get_topology_desc(
      f'{chip.topology}:{shape}', 'tpu'
    )
  except Exception as error:  # jaxlib has no exception of its own for this.
    lines = str(error).strip().splitlines() or [type(error).__name__]
    raise DataDietError(
      f'--compile_for: the compiler knows no {name!r}: {lines[0]}'
    ) from error
  num_chips = math.prod(map(int, shape.split('x')))
  # Two cores of a chip may count as devices of their own.
  assert len(description.devices) in (num_chips, 2 * num_chips)
  return Machine(name, chip, list(description.devices))
