"""Flattens trees of arrays to names, and packs them as safetensors.

A leaf's name is its path, such as `params/Dense_0/kernel`.
"""

from collections.abc import Mapping
from typing import Any

import flax.serialization
import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import traverse_util

from datadiet.errors import DataDietError

# safetensors.numpy.load knows no bfloat16.
_DTYPES = {
  'BOOL': np.bool_,
  'BF16': jnp.bfloat16,
  **{f'F{8 * size}': np.dtype(f'f{size}') for size in (2, 4, 8)},
  **{f'I{8 * size}': np.dtype(f'i{size}') for size in (1, 2, 4, 8)},
  **{f'U{8 * size}': np.dtype(f'u{size}') for size in (1, 2, 4, 8)},
}


class MissingArray(DataDietError):
  """Stored arrays lack one that is needed.

  Attributes:
    path: its name.
  """

  def __init__(self, path: str, source: Any):
    super().__init__(
      f'{source} has no {path}: it is of another model; use another --workdir'
    )
    self.path = path


def flatten(tree: Any) -> dict[str, np.ndarray]:
  """A pytree as {'path/to/leaf': array}; fields that are None are left out."""
  state_dict = flax.serialization.to_state_dict(tree)
  flat = traverse_util.flatten_dict(state_dict, sep='/')
  return {
    path: np.asarray(leaf) for path, leaf in flat.items() if leaf is not None
  }


def unflatten(flat: dict[str, np.ndarray], template: Any, source: Any) -> Any:
  """The inverse of `flatten`, checked against a template's shapes."""
  state_dict = flax.serialization.to_state_dict(template)
  expected = traverse_util.flatten_dict(
    state_dict, sep='/', keep_empty_nodes=True
  )
  filled: dict[str, Any] = {}
  for path, leaf in expected.items():
    if leaf is traverse_util.empty_node or leaf is None:
      filled[path] = leaf
      continue
    if path not in flat:
      raise MissingArray(path, source)
    if flat[path].shape != leaf.shape:
      raise DataDietError(
        f'{source} has {path} of shape {flat[path].shape}, the model needs '
        f'{leaf.shape}'
      )
    filled[path] = flat[path]
  nested = traverse_util.unflatten_dict(filled, sep='/')
  return flax.serialization.from_state_dict(template, nested)


def pack(flat: Mapping[str, np.ndarray]) -> bytes:
  """Named arrays as the content of a safetensors file."""
  # safetensors copies the memory as it is and ignores strides.
  return safetensors.numpy.save(
    {name: np.asarray(array, order='C') for name, array in flat.items()}
  )


def unpack(content: bytes) -> dict[str, np.ndarray]:
  """The inverse of `pack`; the arrays cannot be written to."""
  return {
    name: np.frombuffer(view['data'], _DTYPES[view['dtype']]).reshape(
      view['shape']
    )
    for name, view in safetensors.deserialize(content)
  }
