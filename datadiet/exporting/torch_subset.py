"""For PyTorch: the lists of what is kept, and the code that opens them."""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from datadiet.data.dataset import ROW
from datadiet.data.sources.arrays import array_expression
from datadiet.data.sources.hugging_face import encoded_images, train_files
from datadiet.decoders.images import DEPTHS
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
_ARRAYS = """\
import numpy as np
import torch

# Rows of your own array, of which a part may have become the test split.
indices = np.load({indices!r})
images = {images}[indices]
# As they were trained on.
labels = np.load({labels!r})
subset = torch.utils.data.TensorDataset(
  torch.from_numpy(images), torch.from_numpy(labels)
)
"""
_LOAD = """\
def load(file):
  \"\"\"An image as it was trained on, but for its size.

  Upright and laid on a background: other loaders would show what transparent
  pixels hide, and take 16 bits for 8.
  \"\"\"
  with Image.open(file) as image:
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
"""
_IMAGE_FOLDER = f"""\
import contextlib
import os
import pathlib

import numpy as np
import torchvision
from PIL import Image, ImageOps


{_LOAD}

class KeptImages(torchvision.datasets.VisionDataset):
  \"\"\"The images kept, in order; `transform` and the like as in ImageFolder.

  Classes and labels are stated: ImageFolder would number all folders it finds,
  .ipynb_checkpoints and __MACOSX among them.
  \"\"\"

  classes = {{classes!r}}

  def __init__(self, root={{data_dir!r}}, **transforms):
    super().__init__(root, **transforms)
    paths = {{paths}}
    self.targets = np.load({{labels!r}}).tolist()
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
_HUGGING_FACE = f"""\
import contextlib
import io
import os

import datasets
import numpy as np
from PIL import Image, ImageOps


{_LOAD}

class KeptImages:  # All that torch.utils.data.DataLoader asks for.
  \"\"\"The images kept, in order; `transform` takes an image.

  Classes and labels are stated: each file may number its classes otherwise.
  \"\"\"

  classes = {{classes!r}}

  def __init__(self, root={{data_dir!r}}, transform=None):
    files = [
      datasets.Dataset.{{opens}}(os.path.join(root, path)).select_columns(
        [{{column!r}}]
      )
      for path in {{files!r}}
    ]
    rows = datasets.concatenate_datasets(files)
    rows = rows.cast_column({{column!r}}, datasets.Image(decode=False))
    # Rows of all files, of which a part may have become the test split.
    self.rows = rows.select(np.load({{indices!r}}))
    self.targets = np.load({{labels!r}}).tolist()
    self.root, self.transform = root, transform

  def __len__(self):
    return len(self.targets)

  def __getitem__(self, i):
    image = self.rows[i][{{column!r}}]
    if image['bytes'] is None:
      image = load(os.path.join(self.root, image['path']))
    else:
      image = load(io.BytesIO(image['bytes']))
    if self.transform is not None:
      image = self.transform(image)
    return image, self.targets[i]


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
_TORCHVISION_NAMES = {'cifar10': 'CIFAR10', 'cifar100': 'CIFAR100'}
_TEMPLATES = {
  **dict.fromkeys(_TORCHVISION_NAMES, _TORCHVISION),
  'digits': _DIGITS,
  'arrays': _ARRAYS,
  'hugging_face': _HUGGING_FACE,
  'image_folder': _IMAGE_FOLDER,
}


def write_torch(subset: Subset, folder: Path, final: Path) -> None:
  """Writes the lists of `write_lists`, and code that opens them in PyTorch.

  Args:
    subset: the examples.
    folder: to write to; subset.py beside the lists, whose lines can be pasted.
    final: the folder's name when it is complete.

  Raises:
    DataDietError: for files that are not on this machine.
  """
  name = subset.source_name
  values = {
    'indices': os.fspath(final / lists.INDICES),
    'labels': os.fspath(final / lists.LABELS),
    'paths': lists.READ_IDS.format(path=os.fspath(final / lists.IDS)),
    'num_examples': subset.dataset.train.num_examples,
    'background': subset.settings.background,
    'classes': list(subset.dataset.class_names),
    'name': _TORCHVISION_NAMES.get(name),
  }
  template, own_values = _TEMPLATES.get(name, _OTHER), {}
  if name in _OF_FILES:
    own_values = {'data_dir': _local_folder(subset), **_OF_FILES[name](subset)}
  code = template.format(**values, **own_values)
  lists.write_lists(subset, folder, final)
  code = header(subset, has_own_labels=name in _OF_FILES) + code
  (folder / 'subset.py').write_bytes(code.encode())


def _of_image_folder(subset: Subset) -> dict[str, Any]:
  root = _local_folder(subset)
  deep = (
    (index, os.path.join(root, path))
    for path, index in zip(subset.ids, subset.example_index)
    if path.lower().endswith(_DEEP)
  )
  return {'shift': _shift(subset, deep)}


def _of_arrays(subset: Subset) -> dict[str, Any]:
  return {'images': array_expression(subset.settings)}


def _of_hugging_face(subset: Subset) -> dict[str, Any]:
  root = _local_folder(subset)
  files, column = train_files(subset.settings)
  rows = subset.dataset.train.columns[ROW].tolist()
  example_of = {row: index for index, row in enumerate(rows)}
  deep = (
    (example_of[row], io.BytesIO(of) if isinstance(of, bytes) else of)
    for row, of in enumerate(encoded_images(files, column, root))
    if row in example_of
  )
  return {
    'files': [os.path.relpath(path, root) for path in files],
    'column': column,
    'opens': 'from_parquet' if files[0].endswith('.parquet') else 'from_file',
    'shift': _shift(subset, deep),
  }


def _shift(subset: Subset, images: Iterable[tuple[int, Any]]) -> int:
  """The lower bits that were dropped of images of 16 bits a pixel.

  The cache does not say, so it is what makes one of the images most alike.

  Args:
    subset: the examples.
    images: (example_index, file) of images that may have so many.
  """
  for index, file in images:
    with Image.open(file) as image:
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


# Sets whose code opens the files they are of, and what it says of them.
_OF_FILES = {
  'image_folder': _of_image_folder,
  'arrays': _of_arrays,
  'hugging_face': _of_hugging_face,
}


def _local_folder(subset: Subset) -> str:
  if storage.is_remote(subset.settings.data_dir):
    raise DataDietError(
      f'the format torch takes local files, and those of '
      f'{subset.settings.data_dir} are not; use the format image_folder, or '
      'lists for their paths'
    )
  return os.fspath(Path(subset.settings.data_dir).expanduser().absolute())
