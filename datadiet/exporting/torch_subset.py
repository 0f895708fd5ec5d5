"""For PyTorch: the lists of what is kept, and the code that opens them."""

import os
from pathlib import Path

import numpy as np
from PIL import Image

from datadiet.data.decode_worker import DEPTHS
from datadiet.errors import DataDietError
from datadiet.exporting import lists
from datadiet.exporting.subset import Subset
from datadiet.workdir import storage

# Endings of files that may have 16 bits a pixel.
_DEEP = ('.png', '.tif', '.tiff', '.pgm', '.pnm', '.jp2', '.j2k')
_NONE = np.zeros(0, np.int64)
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
import contextlib
import os
import pathlib

import numpy as np
import torchvision
from PIL import Image, ImageOps


def load(path):
  \"\"\"An image as it was trained on, but for its size.

  Upright and laid on a background: ImageFolder would show what transparent
  pixels hide, and take 16 bits for 8.
  \"\"\"
  with Image.open(path) as image:
    image.load()
    with contextlib.suppress(Exception):  # Of damaged EXIF blocks.
      image = ImageOps.exif_transpose(image)
    if image.mode.startswith('I'):
      values = np.asarray(image) >> {shift}
      image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
      laid_on = Image.new('RGBA', image.size, {background!r})
      laid_on.alpha_composite(image.convert('RGBA'))
      image = laid_on
    return image.convert('RGB')


class KeptImages(torchvision.datasets.VisionDataset):
  \"\"\"The images kept, in order; `transform` and the like as in ImageFolder.

  Classes and labels are stated: ImageFolder would number all folders it finds,
  .ipynb_checkpoints and __MACOSX among them.
  \"\"\"

  classes = {classes!r}

  def __init__(self, root={data_dir!r}, **transforms):
    super().__init__(root, **transforms)
    paths = {paths}
    self.targets = np.load({labels!r}).tolist()
    self.samples = [
      (os.path.join(root, path), label)
      for path, label in zip(paths, self.targets)
    ]

  def __len__(self):
    return len(self.samples)

  def __getitem__(self, i):
    path, label = self.samples[i]
    image = load(path)
    if self.transforms is not None:
      return self.transforms(image, label)
    return image, label


subset = KeptImages()
"""
_OTHER = """\
import numpy as np
import torch

indices = np.load({indices!r}).tolist()
# `dataset`: yours, with the {num_examples} train examples in the order of
# example_index, which docs/data.md calls canonical.
subset = torch.utils.data.Subset(dataset, indices)
"""


def write_torch(subset: Subset, folder: Path, final: Path) -> None:
  """Writes the lists of `write_lists`, and code that opens them in PyTorch.

  Args:
    subset: the examples.
    folder: to write to; subset.py beside the lists, whose lines can be pasted.
    final: the folder's name when it is complete.

  Raises:
    DataDietError: for an image folder that is not on this machine.
  """
  name = subset.source_name
  values = {
    'indices': os.fspath(final / lists.INDICES),
    'labels': os.fspath(final / lists.LABELS),
    'paths': lists.READ_IDS.format(path=os.fspath(final / lists.IDS)),
    'num_examples': subset.dataset.train.num_examples,
  }
  torchvision = {'cifar10': 'CIFAR10', 'cifar100': 'CIFAR100'}.get(name)
  has_own_labels = name == 'image_folder'
  if has_own_labels:
    code = _IMAGE_FOLDER.format(
      **values,
      data_dir=_local_folder(subset),
      background=subset.settings.background,
      shift=_shift(subset),
      classes=list(subset.dataset.class_names),
    )
  else:
    template = _OTHER
    if torchvision:
      template = _TORCHVISION
    elif name == 'digits':
      template = _DIGITS
    code = template.format(**values, name=torchvision)
  lists.write_lists(subset, folder, final)
  code = header(subset, has_own_labels=has_own_labels) + code
  (folder / 'subset.py').write_bytes(code.encode())


def _shift(subset: Subset) -> int:
  """The lower bits that were dropped of images of 16 bits a pixel.

  The cache does not say, so it is what makes one of the images most alike.
  """
  for path, index in zip(subset.ids, subset.example_index):
    if path.lower().endswith(_DEEP):
      with Image.open(os.path.join(_local_folder(subset), path)) as image:
        values = np.asarray(image) if image.mode.startswith('I') else _NONE
      if values.any():
        decoded = subset.dataset.train.images[index]
        return min(
          (bits - 8 for bits in DEPTHS),
          key=lambda shift: abs((values >> shift).mean() - decoded.mean()),
        )
  return 0


def header(subset: Subset, *, has_own_labels: bool = False) -> str:
  """The first lines of a file of code: what it makes.

  Args:
    subset: the examples.
    has_own_labels: whether the code gives the labels that were trained on, and
      not those of the source.
  """
  lines = [f'{_docstring(subset.title)}\n\n']
  if subset.labels_are_changed and not has_own_labels:
    lines.append(
      '# The labels are those of the source: those that were changed on '
      'purpose for\n# these scores are in labels.npy, in scores.csv and in the '
      'parquet export.\n\n'
    )
  return ''.join(lines)


def _docstring(title: str) -> str:
  """A title as a docstring, whatever is in it."""
  escaped = title.replace('\\', r'\\').replace('"', r'\"')
  return f'"""{" ".join(escaped.split())}, in order."""'


def _local_folder(subset: Subset) -> str:
  if storage.is_remote(subset.settings.data_dir):
    raise DataDietError(
      f'the format torch takes local files, and those of '
      f'{subset.settings.data_dir} are not; use the format image_folder, or '
      'lists for their paths'
    )
  return os.fspath(Path(subset.settings.data_dir).expanduser().absolute())
