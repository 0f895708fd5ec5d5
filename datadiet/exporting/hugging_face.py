"""For the library `datasets` of Hugging Face: a set on disk."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from etils import epath
from PIL import Image

from datadiet.data.dataset import Split
from datadiet.exporting.files import pil_image
from datadiet.exporting.subset import Subset
from datadiet.runtime import extras
from datadiet.workdir import storage


def write_hugging_face(subset: Subset, folder: Path, final: Path) -> None:
  """Saves the kept examples as the split train, and all of test.

  Columns: image (the original file where images come from a folder, otherwise
  PNG, which loses nothing), label (with the class names), id and example_index.
  `datasets.load_from_disk` reads the folder.

  Raises:
    MissingLibraryError: if the library is not installed.
  """
  del final
  try:
    import datasets
  except ImportError as error:
    raise extras.missing_library(
      'the format hugging_face', 'datasets'
    ) from error
  data = subset.dataset
  if subset.originals is None:
    pil_image(data.train.images[0])  # Refuses what cannot be written.
  features = datasets.Features(
    {
      'image': datasets.Image(),
      'label': datasets.ClassLabel(names=list(data.class_names)),
      'id': datasets.Value('string'),
      'example_index': datasets.Value('int64'),
    }
  )
  everything = np.arange(data.test.num_examples)
  parts = {
    'train': (data.train, subset.example_index),
    'test': (data.test, everything),
  }
  # The library writes what it generates to a cache, and only then to a place.
  with tempfile.TemporaryDirectory(dir=folder.parent, prefix='.') as scratch:
    made = {
      name: datasets.Dataset.from_generator(
        _examples,
        features=features,
        cache_dir=os.path.join(scratch, name),
        gen_kwargs={
          'split': split,
          'example_index': example_index,
          'originals': subset.originals,
        },
        # Else the library would hash all that the generator is given.
        fingerprint=f'{data.fingerprint}{name}',
        split=name,
      )
      for name, (split, example_index) in parts.items()
    }
    datasets.DatasetDict(made).save_to_disk(folder)


def _examples(
  split: Split,
  example_index: np.ndarray,
  originals: Path | epath.Path | None,
) -> Iterator[dict]:
  for i in example_index.tolist():
    yield {
      'image': _image(split, i, originals),
      'label': int(split.labels[i]),
      'id': str(split.ids[i]),
      'example_index': i,
    }


def _image(
  split: Split, i: int, originals: Path | epath.Path | None
) -> Image.Image | dict:
  """An image, or the file it was decoded from: not coded a second time."""
  if originals is None:
    return pil_image(split.images[i])
  name = str(split.ids[i])
  return {
    'bytes': storage.read_bytes(epath.Path(originals / name)),
    'path': os.path.basename(name),
  }
