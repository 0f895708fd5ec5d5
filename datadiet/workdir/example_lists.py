"""Reads lists of examples: of selections, and those that users make."""

import os

import numpy as np
from etils import epath

from datadiet.errors import DataDietError
from datadiet.workdir import artifacts


def read_example_index(
  path: os.PathLike | str, num_examples: int
) -> np.ndarray:
  """Reads and checks a list of examples, int64[num_kept].

  Args:
    path: a .npy file, or a folder with an example_index.npy.
    num_examples: N.

  Raises:
    DataDietError: if it is missing, damaged, not of this data, or empty.
  """
  where = epath.Path(path).expanduser()
  if where.is_dir():
    where = where / 'example_index.npy'
  example_index = artifacts.read_npy(where, from_user=True)
  if (
    example_index.ndim != 1
    or not len(example_index)
    or not np.issubdtype(example_index.dtype, np.integer)
    or len(np.unique(example_index)) != len(example_index)
    or example_index.min() < 0
    or example_index.max() >= num_examples
  ):
    raise DataDietError(
      f'{where} must hold distinct integers from 0 to {num_examples - 1}'
    )
  return example_index.astype(np.int64)
