"""Reads arrays out of pickles, and out of files of torch.save, safely.

A pickle may import and call anything on the machine that reads it. Here only
what numbers, texts, containers and arrays are made of is let in; PyTorch need
not be installed.
"""

import collections
import io
import math
import pickle
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

# What the header of torch.save's older format begins with.
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C
_TORCH_TYPES = {
  'ByteStorage': 'u1',
  'CharStorage': 'i1',
  'ShortStorage': '<i2',
  'IntStorage': '<i4',
  'LongStorage': '<i8',
  'HalfStorage': '<f2',
  'FloatStorage': '<f4',
  'DoubleStorage': '<f8',
  'BoolStorage': '?',
}


def load(content: bytes, encoding: str = 'ASCII') -> Any:
  """What was pickled, or saved by torch.save, with tensors as numpy arrays.

  Args:
    content: of the file.
    encoding: of the texts of Python 2; see `pickle.load`.

  Raises:
    pickle.UnpicklingError: if it holds anything else than numbers, texts,
      containers and arrays.
    Exception: of nearly any kind, if it is damaged.
  """
  if content.startswith(b'PK'):
    return _load_torch(content)
  file = io.BytesIO(content)
  value = _Unpickler(file, encoding=encoding).load()
  if isinstance(value, int) and value == _TORCH_MAGIC:
    # The version of the format and the machine come before the object.
    for _ in range(3):
      value = _Unpickler(file).load()
  return value


def is_torch_zip(content: bytes) -> bool:
  """Whether it is a zip file as torch.save writes it."""
  if not content.startswith(b'PK'):
    return False
  with zipfile.ZipFile(io.BytesIO(content)) as archive:
    return any(name.endswith('/data.pkl') for name in archive.namelist())


def _load_torch(content: bytes) -> Any:
  with zipfile.ZipFile(io.BytesIO(content)) as archive:
    (main,) = [
      name for name in archive.namelist() if name.endswith('/data.pkl')
    ]
    folder = main.removesuffix('data.pkl')

    def storage(dtype: str, key: str) -> np.ndarray:
      return np.frombuffer(archive.read(f'{folder}data/{key}'), dtype)

    return _Unpickler(io.BytesIO(archive.read(main)), storage).load()


def _encode(text: str, encoding: str) -> bytes:
  """How Python 3 writes bytes for Python 2."""
  if encoding != 'latin1':
    raise pickle.UnpicklingError(f'it has bytes in the encoding {encoding}')
  return text.encode('latin1')


def _tensor(storage: np.ndarray, offset: int, shape, strides, *_) -> np.ndarray:
  """`torch._utils._rebuild_tensor_v2`, for memory that holds all of it."""
  last = offset + sum((n - 1) * step for n, step in zip(shape, strides))
  if min([offset, *shape, *strides]) < 0 or (
    math.prod(shape) and last >= len(storage)
  ):
    raise pickle.UnpicklingError('a tensor reaches beyond its memory')
  return np.lib.stride_tricks.as_strided(
    storage[offset:], shape, [storage.itemsize * step for step in strides]
  ).copy()


_ALLOWED: dict[tuple[str, str], Any] = {
  ('multiarray', '_reconstruct'): np.zeros(0).__reduce__()[0],
  ('multiarray', 'scalar'): np.int64(0).__reduce__()[0],
  ('numeric', '_frombuffer'): np.zeros(1).__reduce_ex__(5)[0],
  ('numpy', 'ndarray'): np.ndarray,
  ('numpy', 'dtype'): np.dtype,
  ('_codecs', 'encode'): _encode,
  ('collections', 'OrderedDict'): collections.OrderedDict,
  ('_utils', '_rebuild_tensor_v2'): _tensor,
  **{('torch', name): dtype for name, dtype in _TORCH_TYPES.items()},
}


class _Unpickler(pickle.Unpickler):
  """Imports nothing: what a pickle asks for by name is in `_ALLOWED`."""

  def __init__(
    self,
    file: io.BytesIO,
    storage: Callable[[str, str], np.ndarray] | None = None,
    **options,
  ):
    super().__init__(file, **options)
    self._storage = storage

  def find_class(self, module: str, name: str) -> Any:
    """The few things that arrays are made of."""
    # numpy's modules have had several names: numpy.core, numpy._core.
    package, _, last = module.rpartition('.')
    if package in ('', 'numpy.core', 'numpy._core', 'torch'):
      if (last, name) in _ALLOWED:
        return _ALLOWED[last, name]
    raise pickle.UnpicklingError(f'it would import {module}.{name}')

  def persistent_load(self, pid: Any) -> np.ndarray:
    """The memory of a tensor."""
    if self._storage is None:
      raise pickle.UnpicklingError('it has tensors in an old format of PyTorch')
    _, dtype, key, *_ = pid
    return self._storage(dtype, key)
