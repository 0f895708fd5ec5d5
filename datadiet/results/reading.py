"""Reads tables and lists folders of a workdir."""

import io
import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from etils import epath

from datadiet.errors import DataDietError
from datadiet.workdir import artifacts, storage
from datadiet.workdir.example_lists import read_example_index
from datadiet.workdir.tables import is_history_column

# Sources of any data: these names say how it is stored, not what it is.
_NAMED_BY_FOLDER = ('image_folder', 'arrays', 'hugging_face')


def own_name(
  settings: dict[str, Any], description: dict[str, Any]
) -> str | None:
  """A data set's own name: that of its folder or file, if it has one.

  Args:
    settings: `config.dataset`; {} if they are not known.
    description: the content of dataset.json; likewise.
  """
  name = os.path.basename(str(settings.get('data_dir', '')).rstrip('/'))
  if settings.get('name') in _NAMED_BY_FOLDER and name:
    return name.removesuffix('.npz')
  return description.get('name')


def trained_on(config: Mapping[str, Any], num_examples: int) -> np.ndarray:
  """The examples that networks of a workdir may have seen, int64, ascending.

  Args:
    config: the content of config.json.
    num_examples: N; all of them without `train.subset_path`.

  Raises:
    DataDietError: if that file is missing, damaged or of other data.
  """
  path = config.get('train', {}).get('subset_path')
  if not path:
    return np.arange(num_examples)
  return np.sort(read_example_index(path, num_examples))


def read_json(path: epath.Path) -> dict[str, Any]:
  """A JSON object; {} if there is no such file.

  Raises:
    DataDietError: if it is damaged.
  """
  content = artifacts.read_json(path) if path.exists() else {}
  if not isinstance(content, dict):
    raise DataDietError(f'{path} is damaged: it has to hold a JSON object')
  return content


def read_csv(path: epath.Path, **options) -> pd.DataFrame:
  """A table; empty cells are missing values in history columns only.

  Args:
    path: of the file.
    **options: of `pandas.read_csv`.

  Raises:
    DataDietError: if it is missing or damaged.
  """
  try:
    content = storage.read_bytes(path)
    names = content.partition(b'\n')[0].decode().strip().split(',')
    if b'\r\n' not in content:  # As written here: ids may hold a return.
      options['lineterminator'] = '\n'
    # Ids and class names such as 'NA' are text, not missing values.
    return pd.read_csv(
      io.StringIO(content.decode()),
      keep_default_na=False,
      na_values={
        name: ['', 'nan'] for name in names if is_history_column(name)
      },
      **options,
    )
  except FileNotFoundError as error:
    raise DataDietError(f'{path} does not exist') from error
  except (ValueError, KeyError, UnicodeDecodeError) as error:
    raise DataDietError(
      f'{path} is damaged ({error}); delete it to make it anew'
    ) from error


def names_in(folder: epath.Path) -> list[str]:
  """Names in a folder, sorted; [] if there is no such folder."""
  if not folder.exists():
    return []
  return sorted(path.name for path in folder.iterdir())


def folders_in(folder: epath.Path) -> list[str]:
  """As `names_in`, without hidden and temporary ones."""
  return [name for name in names_in(folder) if not name.startswith('.')]


def numbers_in(folder: epath.Path, pattern: str) -> list[int]:
  """The numbers that a pattern's group finds in the names, ascending."""
  matches = (re.fullmatch(pattern, name) for name in names_in(folder))
  return sorted(int(match[1]) for match in matches if match)


def runs_in(folder: epath.Path) -> list[tuple[int, epath.Path]]:
  """(run, its folder) of the runs in a folder, ascending."""
  runs = artifacts.runs_in(folder)
  return [(run, folder / artifacts.run_name(run)) for run in runs]


def steps_in(folder: epath.Path) -> list[int]:
  """The steps in a folder whose folders are complete, ascending."""
  steps = numbers_in(folder, r'step_(\d+)')
  return [
    step
    for step in steps
    if (folder / artifacts.step_name(step) / artifacts.MANIFEST).exists()
  ]


def runs_leave_out(config: Mapping) -> bool:
  """Whether the runs that score trained on a part of the examples each.

  Args:
    config: of the workdir, as in config.json.
  """
  train = config.get('train', {})
  return train.get('folds', 0) > 0 or train.get('subset_fraction', 1.0) < 1


def review_fingerprint(description: Mapping) -> str:
  """What decisions belong to: the data, and labels changed on purpose.

  Args:
    description: of the data set, as in dataset.json.
  """
  stated = (description.get(k) for k in ('fingerprint', 'labels_fingerprint'))
  return '-'.join(filter(None, stated))
