"""Runs docs/bring_your_own.md: a training of PyTorch, and its import."""

import json
import re
import subprocess
import sys

import numpy as np

from datadiet.data import load_dataset
from datadiet.importing import Given, import_training
from tests import running
from tests.exporting import in_torch

_PAGE = running.REPOSITORY / 'docs' / 'bring_your_own.md'
# What stands around the page's blocks in a user's program.
_BEFORE = """
import torch

images, labels = (torch.from_numpy(a) for a in np.load('data.npz').values())
train_set = torch.utils.data.TensorDataset(
  torch.arange(len(images)), images.flatten(1) / 255, labels.long()
)
loader = torch.utils.data.DataLoader(train_set, 64, shuffle=True)
num_classes, num_epochs = 10, 3
torch.manual_seed(0)
model = torch.nn.Linear(images[0].numel(), num_classes)
optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
"""


def _block(name):
  """A block of code of the page, by the comment before it."""
  (code,) = re.findall(
    rf'<!-- {name} -->\n```python\n(.*?)```', _PAGE.read_text(), re.DOTALL
  )
  return code


def test_the_recorder_is_short():
  lines = [line for line in _block('recorder').splitlines() if line.strip()]
  assert len(lines) <= 15


@in_torch.needs_torch
def test_a_training_of_pytorch_is_imported(tmp_path):
  config = running.tiny_config()
  train = load_dataset(config.dataset).train
  np.savez(tmp_path / 'data.npz', images=train.images, labels=train.labels)
  program = _block('recorder') + _BEFORE + _block('training')
  # Apart: PyTorch after TensorFlow in one process crashes.
  subprocess.run([sys.executable, '-c', program], cwd=tmp_path, check=True)
  logits = np.load(tmp_path / 'logits.npy')
  assert logits.shape == (3, train.num_examples, 10)
  files = Given(logits=(str(tmp_path / 'logits.npy'),))
  import_training(config, str(tmp_path / 'workdir'), files)
  (folder,) = (tmp_path / 'workdir' / 'scores' / 'mean').iterdir()
  assert 'aum' in json.loads((folder / 'manifest.json').read_text())['scores']
  # As numpy computes them from the same file.
  last = logits[-1].astype(float)
  probs = np.exp(last) / np.exp(last).sum(1, keepdims=True)
  right = np.eye(10)[train.labels]
  np.testing.assert_allclose(
    np.load(folder / 'el2n.npy'), np.linalg.norm(probs - right, axis=1), 1e-6
  )
  others = np.where(right == 1, -np.inf, logits).max(-1)
  own = (logits * right).sum(-1)
  np.testing.assert_allclose(
    np.load(folder / 'aum.npy'), (own - others).mean(0), 1e-5, 1e-6
  )
  is_right = logits.argmax(-1) == train.labels
  forgotten = (is_right[:-1] & ~is_right[1:]).sum(0)
  expected = np.where(is_right.any(0), forgotten, 4)
  np.testing.assert_array_equal(np.load(folder / 'forgetting.npy'), expected)
