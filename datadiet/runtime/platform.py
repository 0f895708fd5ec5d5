"""Which kind of device a program is for.

Compilation follows the devices that a program is to run on, not those of the
process: programs can be compiled for other machines.
"""

from collections.abc import Iterable
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
