"""The part of the train split that a run of the train stage trains on."""

from typing import Any

import numpy as np
from etils import epath

from datadiet.config import Config
from datadiet.errors import DataDietError
from datadiet.feeding.order import held_out_subsets
from datadiet.workdir import artifacts


def read_example_index(path: Any, num_examples: int) -> np.ndarray:
  """A list of examples, int64[num_kept], checked.

  Args:
    path: a .npy file, or a folder with an example_index.npy.
    num_examples: N.

  Raises:
    DataDietError: if it is missing, damaged, not of this data, or empty.
  """
  path = epath.Path(path).expanduser()
  if path.is_dir():
    path = path / 'example_index.npy'
  example_index = artifacts.read_npy(path, made_here=False)
  if (
    example_index.ndim != 1
    or not len(example_index)
    or not np.issubdtype(example_index.dtype, np.integer)
    or len(np.unique(example_index)) != len(example_index)
    or example_index.min() < 0
    or example_index.max() >= num_examples
  ):
    raise DataDietError(
      f'{path} must hold distinct integers from 0 to {num_examples - 1}'
    )
  return example_index.astype(np.int64)


def chosen(config: Config, num_examples: int) -> np.ndarray | None:
  """The examples of config.train.subset_path, ascending; None for all."""
  if not config.train.subset_path:
    return None
  return np.sort(read_example_index(config.train.subset_path, num_examples))


def check_data(config: Config, fingerprint: str) -> None:
  """Refuses the examples of config.train.subset_path if of other data.

  Only where a manifest beside them says of which.

  Raises:
    DataDietError: names both fingerprints.
  """
  if not config.train.subset_path:
    return
  path = epath.Path(config.train.subset_path).expanduser()
  folder = path if path.is_dir() else path.parent
  manifest = artifacts.read_manifest(folder) or {}
  if 'fingerprint' in manifest:
    artifacts.check_fingerprint(manifest, fingerprint, folder)


def steps_per_epoch(config: Config, num_examples: int) -> int:
  """Batches in one pass over what a run trains on; the rest is dropped."""
  subset = chosen(config, num_examples)
  if subset is None:
    size = int(num_examples * config.train.subset_fraction)
  else:
    size = len(subset)
  return size // config.train.batch_size


def trained_on(config: Config, num_examples: int) -> np.ndarray | None:
  """bool[num_runs, N]: which run trains on which example; None if all do."""
  train = config.train
  if train.subset_fraction < 1.0:
    return held_out_subsets(
      num_examples,
      train.num_runs,
      train.subset_fraction,
      seed=train.data_seed,
    )
  subset = chosen(config, num_examples)
  if subset is None:
    return None
  inside = np.zeros((train.num_runs, num_examples), bool)
  inside[:, subset] = True
  return inside


def check_unchanged(config: Config, num_examples: int, stored: Any) -> None:
  """Keeps a copy of the chosen examples in the workdir, or compares with it.

  Args:
    config: of `config.resolve`.
    num_examples: N.
    stored: where the copy lies.

  Raises:
    DataDietError: if the file at config.train.subset_path is another one now.
  """
  subset = chosen(config, num_examples)
  if subset is None:
    return
  if not stored.exists():
    artifacts.write_npy(stored, subset)
  elif not np.array_equal(artifacts.read_npy(stored), subset):
    raise DataDietError(
      f'config.train.subset_path: {config.train.subset_path} has changed since '
      f'this workdir was made (then: {stored}); use another --workdir'
    )
