"""Machines to compile for: a kind of chip and how many of them."""

import dataclasses
import importlib.util
import math
import re
from collections.abc import Mapping
from typing import Any

from jax.experimental import topologies

from datadiet.errors import ConfigError, DataDietError
from datadiet.forecast.gpus import GPUS
from datadiet.settings import closest


@dataclasses.dataclass(frozen=True)
class Chip:
  """One kind of chip, as its maker describes it.

  Attributes:
    name: for people.
    memory: bytes of a chip.
    hertz: cycles a second, of a TPU: the maker's peak in bfloat16 over what its
      matrix units do in a cycle (v5e: 197e12 / (2 * 4 * 128 * 128)); None where
      the compiler estimates no cycles.
    price: US dollars an hour and chip, a list price on demand; None likewise.
    share: of the memory that JAX takes for programs.
    options: of the topology, for a device to be a whole chip.
  """

  name: str
  memory: int
  hertz: float | None = None
  price: float | None = None
  share: float = 1.0
  options: Mapping[str, str] = dataclasses.field(default_factory=dict)


_GIB = 2**30
# JAX's own share of a GPU's memory, where XLA_PYTHON_CLIENT_MEM_FRACTION does
# not set another.
_GPU_SHARE = 0.75
# Name on the command line, and of the topology for the compiler -> the chip.
TPUS: dict[str, Chip] = {
  'v4': Chip(
    'TPU v4',
    32 * _GIB,
    1.05e9,
    3.22,
    # As on Cloud TPU; otherwise each of two cores with half of the memory.
    options={'chip_config_name': 'megacore'},
  ),
  'v5e': Chip('TPU v5e', 16 * _GIB, 1.5e9, 1.20),
  'v5p': Chip('TPU v5p', 95 * _GIB, 1.75e9, 4.20),
  'v6e': Chip('TPU v6e', 32 * _GIB, 1.75e9, 2.70),
}
_GPUS_A_HOST = 8


@dataclasses.dataclass(frozen=True)
class Machine:
  """Chips to compile for; this host need not have them.

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

  `runtime.starting` has kept this process from looking for the devices.

  Args:
    name: CHIP:AxB or CHIP:AxBxC of TPUs, such as 'v5e:2x4' and 'v4:2x2x4';
      CHIP:NUMBER of GPUs, such as 'h100:8'.

  Raises:
    ConfigError: for a name that is none.
    DataDietError: if the compiler is not installed, or knows no such shape.
  """
  kind, _, shape = name.partition(':')
  if kind in TPUS and re.fullmatch(r'\d+(x\d+)+', shape):
    return _open_tpus(name, kind, shape)
  if kind in GPUS and _is_number_of_gpus(shape):
    return _open_gpus(name, kind, int(shape))
  raise ConfigError(
    f'--compile_for: {name!r} is not allowed; allowed: CHIP:SHAPE, one of '
    f'{", ".join(TPUS)} with a shape such as 2x4, or 2x2x4 for v4 and v5p; or '
    f'one of {", ".join(GPUS)} with a number: 1 to {_GPUS_A_HOST}, or a '
    f'multiple of {_GPUS_A_HOST}{closest(kind, [*TPUS, *GPUS])}'
  )


def _is_number_of_gpus(text: str) -> bool:
  if not re.fullmatch(r'[1-9]\d*', text):
    return False
  return int(text) < _GPUS_A_HOST or int(text) % _GPUS_A_HOST == 0


def _open_tpus(name: str, kind: str, shape: str) -> Machine:
  _check_installed('libtpu', 'TPU', 'tpu')
  devices = _devices(name, 'tpu', f'{kind}:{shape}', **TPUS[kind].options)
  assert len(devices) == math.prod(map(int, shape.split('x')))
  return Machine(name, TPUS[kind], devices)


def _open_gpus(name: str, kind: str, number: int) -> Machine:
  _check_installed('jax_cuda12_plugin', 'GPU', 'cuda', 'jax_cuda13_plugin')
  gpu = GPUS[kind]
  per_host = min(number, _GPUS_A_HOST)
  topology = f'1x{number // per_host}x{per_host}'
  devices = _devices(
    name, 'cuda', topology, topology=topology, target_config=gpu.target_config()
  )
  assert len(devices) == number
  return Machine(name, Chip(gpu.name, gpu.memory, share=_GPU_SHARE), devices)


def _check_installed(module: str, what: str, extra: str, *others: str) -> None:
  """Refuses where none of the modules of a compiler is installed."""
  if any(map(importlib.util.find_spec, (module, *others))):
    return
  raise DataDietError(
    f'--compile_for: the compiler for {what}s is not installed; install it by '
    f"pip install 'datadiet[{extra}]' (Linux on x86-64; no {what} is needed)"
  )


def _devices(name: str, platform: str, asked: str, **options) -> list[Any]:
  """The devices of a topology, as the compiler knows it."""
  try:
    found = topologies.get_topology_desc(asked, platform, **options)
  except Exception as error:  # jaxlib has no exception of its own for this.
    lines = str(error).strip().splitlines() or [type(error).__name__]
    raise DataDietError(
      f'--compile_for: the compiler knows no {name!r}: {lines[0]}'
    ) from error
  return list(found.devices)
