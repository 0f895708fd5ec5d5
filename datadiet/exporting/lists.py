"""Lists of the kept examples: ids, labels, indices for the usual loader."""

import re
from pathlib import Path

import numpy as np

from datadiet.data.dataset import ROW
from datadiet.errors import DataDietError
from datadiet.exporting.subset import Subset

IDS = 'ids.txt'
INDICES, LABELS = 'indices.npy', 'labels.npy'
# How a program reads a list of ids. splitlines and text mode would also break
# them at the \r, \x85 and \u2028 that names of files may hold.
READ_IDS = "pathlib.Path({path!r}).read_bytes().decode().split('\\n')[:-1]"
# Ids that hold an example's number in the order of the library's own loader.
# TFDS and the archives store CIFAR's examples in other orders than it.
_NUMBERED = {
  'cifar10': re.compile(r'train_(\d+)'),
  'cifar100': re.compile(r'train_(\d+)'),
  'digits': re.compile(r'digits_(\d+)'),
}


def write_ids(path: Path, ids: list[str]) -> None:
  r"""Writes one id a line: UTF-8, each line ended by \n and nothing else.

  Raises:
    DataDietError: if an id holds \n, or cannot be encoded.
  """
  for name in ids:
    if '\n' in name:
      raise DataDietError(
        f'the id {name!r} holds a line feed, which ends a line in {path.name}; '
        'rename the file, or use the format image_folder or parquet'
      )
  try:
    path.write_bytes(''.join(f'{name}\n' for name in ids).encode())
  except UnicodeEncodeError as error:
    raise DataDietError(
      f'the id {error.object[:80]!r} is no valid Unicode: {path.name} cannot '
      'hold it; rename the file'
    ) from error


def write_lists(subset: Subset, folder: Path, final: Path) -> None:
  """Writes what any loader needs, in canonical order, as four files.

  ids.txt: the ids, for data from files their paths below `data_dir`.
  labels.npy: int32[num_kept], as they were trained on.
  indices.npy: `loader_indices`. test_ids.txt is written with every folder.

  Args:
    subset: the examples.
    folder: to write to.
    final: the folder's name when it is complete.
  """
  del final
  folder.mkdir()
  write_ids(folder / IDS, subset.ids)
  np.save(folder / LABELS, subset.dataset.train.labels[subset.example_index])
  np.save(folder / INDICES, loader_indices(subset))


def loader_indices(subset: Subset) -> np.ndarray:
  """Where the kept examples are in the order of the usual loader.

  That is torchvision's for CIFAR-10 and -100, scikit-learn's for digits; for
  arrays and Hugging Face sets it is the row in their own files, of which a part
  may have become the test split; for all others it is the canonical order:
  example_index itself.

  Args:
    subset: the examples.

  Returns:
    int64[num_kept], in the order of `subset.example_index`.
  """
  pattern = _NUMBERED.get(subset.source_name)
  if pattern is None:
    rows = subset.dataset.train.columns.get(ROW)
    kept = subset.example_index
    return kept if rows is None else rows[kept].astype(np.int64)
  numbers = []
  for name in subset.ids:
    match = pattern.fullmatch(name)
    if match is None:
      raise DataDietError(f'the id {name!r} has no number to find it by')
    numbers.append(int(match[1]))
  return np.array(numbers, np.int64)
