"""Arrays in a folder of scores, and their checksums in its manifest."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from datadiet.workdir import artifacts

_IMPORT_ANEW = (
  'it was imported, so import it anew into another folder (datadiet import)'
)


def read(
  folder: epath.Path,
  name: str,
  num_examples: int | None,
  manifest: Mapping[str, Any] | None,
) -> np.ndarray:
  """Reads an array of a folder of scores: a score, its spread, predictions.

  Args:
    folder: of `Workdir.scores`.
    name: of the array, such as 'el2n' or 'el2n_std'.
    num_examples: N; None to take any.
    manifest: of the folder; None if it has none. Arrays whose checksum it does
      not have, as those of older workdirs, are taken as they are.

  Returns:
    [N, ...].

  Raises:
    DataDietError: if it is missing, damaged or of another length.
  """
  known = manifest or {}
  # No stage makes anew what was imported.
  is_imported = any(
    stated.get('imported') for stated in known.get('scores', {}).values()
  )
  return artifacts.read_npy(
    folder / f'{name}.npy',
    num_examples,
    known.get('checksums', {}).get(name),
    remedy=_IMPORT_ANEW if is_imported else artifacts.MAKE_ANEW,
  )


def write(
  folder: epath.Path, arrays: Mapping[str, np.ndarray]
) -> dict[str, int]:
  """Writes arrays into a folder of scores, whose manifest comes after them.

  Args:
    folder: of `Workdir.scores`.
    arrays: [N, ...] by name.

  Returns:
    The checksum of each, for the manifest.
  """
  for name, array in arrays.items():
    artifacts.write_npy(folder / f'{name}.npy', array)
  return {name: artifacts.checksum(array) for name, array in arrays.items()}
