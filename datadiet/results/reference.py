"""Reference scores: means that come with this package, by example id.

Each file of `reference_scores/` is of one set of networks on one data set:
'ids', 'manifest' (JSON text) and one float32 array a score, as `python -m
tools.pack_reference` writes it. A new file there is all that a new set needs.
"""

import importlib.resources
import json

import numpy as np
import pandas as pd

from datadiet.errors import DataDietError


def _folder():
  return importlib.resources.files('datadiet.results') / 'reference_scores'


def reference_names() -> list[str]:
  """The names that `load_reference_scores` knows."""
  return sorted(
    path.name.removesuffix('.npz')
    for path in _folder().iterdir()
    if path.name.endswith('.npz')
  )


def load_reference_scores(name: str) -> pd.DataFrame:
  """Mean scores of networks that somebody else has trained.

    scores = datadiet.load_reference_scores('cifar10_resnet18_w16')
    scores['el2n'].loc[['train_16399', 'train_01680']]

  Args:
    name: of `reference_names()`.

  Returns:
    A row for each example, indexed by its id (for CIFAR-10, TFDS's), and a
    float32 column for each score. `.attrs` says of what networks they are:
    'dataset', 'fingerprint', 'step', 'test_accuracy' (of each network),
    'scores' (name -> definition, 'higher_is', 'runs', source), 'config' and
    'versions'.

  Raises:
    DataDietError: for an unknown name.
  """
  if name not in reference_names():
    raise DataDietError(
      f'there are no reference scores {name!r}; allowed: '
      f'{", ".join(reference_names())}'
    )
  with (
    (_folder() / f'{name}.npz').open('rb') as file,
    np.load(file, allow_pickle=False) as arrays,
  ):
    columns = dict(arrays)
  ids = columns.pop('ids').astype(str)
  stated = json.loads(str(columns.pop('manifest')))
  table = pd.DataFrame(columns, index=pd.Index(ids, name='id'))
  table.attrs = stated
  return table
