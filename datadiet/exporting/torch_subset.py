"""For PyTorch: indices in the order of torchvision's sets, and the code."""

import os
import re
from pathlib import Path

import numpy as np

from datadiet.data.sources.folder_layout import class_folders
from datadiet.errors import DataDietError
from datadiet.exporting.files import torchvision_takes
from datadiet.exporting.kept import Kept
from datadiet.workdir import storage

# Ids that hold an example's number in the order of the library's own loader.
# TFDS and the archives store CIFAR's examples in other orders than it.
_NUMBERED = {
  'cifar10': re.compile(r'train_(\d+)'),
  'cifar100': re.compile(r'train_(\d+)'),
  'digits': re.compile(r'digits_(\d+)'),
}
_TORCHVISION = """\
import numpy as np
import torch
import torchvision

indices = np.load({indices!r}).tolist()
# Where torchvision keeps the data; it is downloaded if it is not there.
dataset = torchvision.datasets.{name}('data', train=True, download=True)
subset = torch.utils.data.Subset(dataset, indices)
"""
_DIGITS = """\
import numpy as np
import sklearn.datasets
import torch

indices = np.load({indices!r}).tolist()
digits = sklearn.datasets.load_digits()
dataset = torch.utils.data.TensorDataset(
  torch.from_numpy(digits.images), torch.from_numpy(digits.target)
)
subset = torch.utils.data.Subset(dataset, indices)
"""
_IMAGE_FOLDER = """\
import os
import pathlib

import torch
import torchvision

paths = pathlib.Path({paths!r}).read_text().splitlines()
dataset = torchvision.datasets.ImageFolder({root!r}{options})
number = {{path: i for i, (path, _) in enumerate(dataset.samples)}}
folder = {data_dir!r}
subset = torch.utils.data.Subset(
  dataset, [number[os.path.join(folder, path)] for path in paths]
)
"""
_OTHER = """\
import numpy as np
import torch

indices = np.load({indices!r}).tolist()
# `dataset`: yours, with the {num_examples} train examples in the order of
# example_index, which docs/data.md calls canonical.
subset = torch.utils.data.Subset(dataset, indices)
"""


def loader_indices(kept: Kept) -> np.ndarray:
  """Where the kept examples are in the order of the usual loader.

  That is torchvision's for CIFAR-10 and -100, scikit-learn's for digits, and
  for all others the canonical order: example_index itself.

  Args:
    kept: the examples.

  Returns:
    int64[num_kept]; as many, and in the same order, as `kept.example_index`.
  """
  pattern = _NUMBERED.get(kept.source_name)
  if pattern is None:
    return kept.example_index
  matches = [pattern.fullmatch(name) for name in kept.ids]
  if None in matches:
    name = kept.ids[matches.index(None)]
    raise DataDietError(f'the id {name!r} has no number to find it by')
  return np.array([int(match[1]) for match in matches], np.int64)


def write_indices(kept: Kept, path: Path, final: Path) -> None:
  """Writes `loader_indices` as one .npy file."""
  del final
  with path.open('wb') as file:
    np.save(file, loader_indices(kept))


def write_torch(kept: Kept, folder: Path, final: Path) -> None:
  """Writes what torch.utils.data.Subset needs, and code that makes one.

  Args:
    kept: the examples.
    folder: to write to; indices.npy or, for image folders, paths.txt, and
      subset.py, whose lines can be pasted.
    final: the folder's name when it is complete.
  """
  folder.mkdir()
  name = kept.source_name
  values = {
    'indices': os.fspath(final / 'indices.npy'),
    'paths': os.fspath(final / 'paths.txt'),
    'num_examples': kept.dataset.train.num_examples,
  }
  if name == 'image_folder':
    # Otherwise it leaves out GIFs, and with them classes.
    takes_all = torchvision_takes(kept.dataset.train.ids.tolist())
    options = '' if takes_all else ', is_valid_file=os.path.isfile'
    code = _IMAGE_FOLDER.format(**values, **_folders(kept), options=options)
    (folder / 'paths.txt').write_text(''.join(f'{i}\n' for i in kept.ids))
  else:
    torchvision = {'cifar10': 'CIFAR10', 'cifar100': 'CIFAR100'}.get(name)
    template = _OTHER
    if torchvision:
      template = _TORCHVISION
    elif name == 'digits':
      template = _DIGITS
    code = template.format(**values, name=torchvision)
    write_indices(kept, folder / 'indices.npy', final)
  (folder / 'subset.py').write_text(header(kept) + code)


def header(kept: Kept) -> str:
  """The first lines of a file of code: what it makes."""
  lines = [f'"""{kept.title}, in order."""\n\n']
  if kept.labels_are_changed:
    lines.append(
      '# The labels are those of the source: those that were changed on '
      'purpose for\n# these scores are in scores.csv and in the parquet export.'
      '\n\n'
    )
  return ''.join(lines)


def _folders(kept: Kept) -> dict[str, str]:
  """The folder that ids are relative to, and that of the train classes."""
  if storage.is_remote(kept.settings.data_dir):
    raise DataDietError(
      f'the format torch takes local files, and those of '
      f'{kept.settings.data_dir} are not; use the format image_folder'
    )
  data_dir = Path(kept.settings.data_dir).expanduser().absolute()
  dataset = kept.dataset
  labels = dataset.original_labels
  labels = dataset.train.labels if labels is None else labels
  homes = class_folders(
    dataset.train.ids.tolist(), [dataset.class_names[i] for i in labels]
  )
  roots = {os.path.dirname(home) for home in homes}
  if len(roots) > 1:
    raise DataDietError(
      'the format torch takes one folder of classes, these examples are in '
      f'{", ".join(sorted(roots))}; use the format file_list'
    )
  root = data_dir / roots.pop()
  return {'data_dir': os.fspath(data_dir), 'root': os.fspath(root)}
