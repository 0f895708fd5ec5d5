"""Which kind of device a program is for.

Compilation follows the devices that a program is to run on, not those of the
process: programs can be compiled for other machines.
"""

import os
from collections.abc import Iterable
from functools import cache
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, Sharding


def platform_of(where: Any = None) -> str:
  """'cpu', 'gpu' or 'tpu'.

  Args:
    where: a mesh, a sharding, an array on devices, a device or several; None
      for the devices of this process.
  """
  return next(iter(_devices(where))).platform


def _devices(where: Any) -> Iterable[Any]:
  if where is None:
    return jax.devices()
  if isinstance(where, Mesh):
    return where.devices.flat
  if isinstance(where, jax.Array):
    where = where.sharding
  if isinstance(where, Sharding):
    return where.device_set
  if isinstance(where, np.ndarray):
    return where.flat
  return where if isinstance(where, Iterable) else [where]


@cache
def host_memory() -> float:
  """Bytes of memory of this machine, or of the container it runs in."""
  try:
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  except (AttributeError, OSError, ValueError):  # Not on every system.
    return float('inf')
  try:
    with open('/sys/fs/cgroup/memory.max') as file:
      limit = file.read().strip()
  except OSError:
    return memory
  return min(memory, int(limit)) if limit.isdigit() else memory
