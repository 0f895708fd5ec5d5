"""Lists of examples: of selections, of users, and the rows of their files."""

import os

import numpy as np
from etils import epath

from datadiet.errors import DataDietError, counted
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


def row_order(
  given: np.ndarray, ids: np.ndarray, where: os.PathLike | str
) -> np.ndarray:
  """The row of each example, int64[N], from the ids of rows in any order.

  Args:
    given: the id of each row.
    ids: str[N], those of the data set's split.
    where: the file, for the error.

  Raises:
    DataDietError: if they are not the split's ids, each once.
  """
  names = np.asarray(given).astype(str).ravel().tolist()
  rows = {name: row for row, name in enumerate(names)}
  wanted = ids.tolist()
  known = {*wanted}
  missing = [name for name in wanted if name not in rows]
  unknown = [name for name in rows if name not in known]
  if missing or unknown or len(rows) != len(names):
    examples = ''.join(
      f', {what} {found[0]!r}'
      for what, found in (('without', missing), ('with', unknown))
      if found
    )
    raise DataDietError(
      f'{where} has {counted(len(names), "id")}, {len(rows):,} of them '
      f'distinct{examples}; allowed: each of the {len(wanted):,} ids of the '
      'data once'
    )
  return np.array([rows[name] for name in wanted])
