"""Imports arrays that a test made up."""

import json

import numpy as np

from datadiet.importing import Given, import_training
from datadiet.workdir.artifacts import Workdir
from tests import running

NUM_EPOCHS = 12
# 1437 examples in batches of 64.
LAST_STEP = NUM_EPOCHS * 22


def import_arrays(tmp_path, config=None, **arrays):
  """Imports arrays by the names of `Given`; the root of the workdir."""
  given = {}
  for name, array in arrays.items():
    if isinstance(array, np.ndarray):
      np.save(tmp_path / f'{name}.npy', array)
      array = str(tmp_path / f'{name}.npy')
      if name in ('logits', 'probs', 'losses'):
        array = (array,)
    given[name] = array
  workdir = tmp_path / 'workdir'
  import_training(config or running.tiny_config(), str(workdir), Given(**given))
  return Workdir.at(workdir)


def mean_scores_of(root):
  """The mean scores of a workdir, by name."""
  (folder,) = (root.root / 'scores' / 'mean').iterdir()
  manifest = json.loads((folder / 'manifest.json').read_text())
  return {name: np.load(folder / f'{name}.npy') for name in manifest['scores']}


def softmax(logits):
  """Probabilities of logits."""
  probs = np.exp(logits - logits.max(-1, keepdims=True))
  return probs / probs.sum(-1, keepdims=True)
