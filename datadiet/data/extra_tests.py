"""Further test splits of a data set: corrupted, shifted or drawn anew.

Each is an array of images with one of labels beside it, as those who publish
such splits store them (CIFAR-10-C, CIFAR-10.1), or a folder with a folder of
images for each class.
"""

import dataclasses
import os

import numpy as np
from etils import epath

from datadiet.data import checks, pixels
from datadiet.data.dataset import Dataset, Split, in_memory
from datadiet.data.decoding import Listing, decoded_splits
from datadiet.data.settings import DatasetSettings
from datadiet.data.sources import image_folder
from datadiet.errors import ConfigError, DataDietError

_ALLOWED = (
  'a .npy file of images with labels.npy beside it (or NAME_labels.npy beside '
  'NAME_data.npy), or a folder with a folder of images for each class'
)


def with_extra_tests(dataset: Dataset, settings: DatasetSettings) -> Dataset:
  """The data set with the splits of `config.dataset.extra_tests`.

  Args:
    dataset: any, complete.
    settings: `config.dataset`.

  Raises:
    ConfigError: if there is nothing at a path.
    DataDietError: if images or labels are damaged, of another length, shape or
      type, or of other classes than those of the data set.
  """
  if not settings.extra_tests:
    return dataset
  splits = {
    name: dataclasses.replace(
      _load(name, path, dataset, settings), crop_size=dataset.test.crop_size
    )
    for name, path in settings.extra_tests.items()
  }
  return dataclasses.replace(dataset, extra_tests=splits)


def _load(
  name: str, text: str, dataset: Dataset, settings: DatasetSettings
) -> Split:
  path = epath.Path(text).expanduser()
  what = f'config.dataset.extra_tests.{name}: {text!r}'
  if not path.exists():
    raise ConfigError(f'{what} does not exist; allowed: {_ALLOWED}')
  if path.is_dir():
    split = _from_folder(path, dataset, settings)
  elif path.suffix == '.npy':
    split = _from_arrays(path, what)
  else:
    raise ConfigError(f'{what} is not allowed; allowed: {_ALLOWED}')
  if tuple(split.images.shape[1:]) != dataset.image_shape:
    raise DataDietError(
      f'{what}: images have shape {list(split.images.shape[1:])}, those of '
      f'{dataset.name} {list(dataset.image_shape)}; they must be the same'
    )
  checks.check_range(split.labels, split.ids, dataset.num_classes, what)
  pixels.survey(split.images).check(split.ids, what)
  return split


def _from_arrays(path: epath.Path, what: str) -> Split:
  labels_path = path.parent / 'labels.npy'
  if path.name.endswith('_data.npy'):
    own = path.parent / path.name.replace('_data.npy', '_labels.npy')
    labels_path = own if own.exists() else labels_path
  if labels_path == path or not labels_path.exists():
    raise ConfigError(
      f'{what}: there are no labels in {labels_path}; allowed: {_ALLOWED}'
    )
  images, labels = _read(path), _read(labels_path)
  if images.dtype != np.uint8 or images.ndim not in (3, 4) or not len(images):
    raise DataDietError(
      f'{what}: images must be uint8 [num, height, width, channels], they are '
      f'{images.dtype} {list(images.shape)}'
    )
  if labels.dtype.kind not in 'iu' or labels.shape != (len(images),):
    raise DataDietError(
      f'{what}: labels must be {len(images)} integers, one for each image, '
      f'those in {labels_path} are {labels.dtype} {list(labels.shape)}'
    )
  ids = np.array([f'{path.stem}_{i:05d}' for i in range(len(images))])
  # Beyond 32 bits is beyond any class too.
  labels = np.clip(labels, -1, 2**31 - 1).astype(np.int32)
  images = images if images.ndim == 4 else images[..., None]
  return Split(images, labels, ids)


def _read(path: epath.Path) -> np.ndarray:
  try:
    with path.open('rb') as file:
      return np.lib.format.read_array(file, allow_pickle=False)
  except ValueError as error:
    reason = str(error).splitlines()[0]
    if 'Object arrays' in reason:
      reason = 'it holds Python objects, which are not read'
    raise DataDietError(
      f'{path} cannot be read as an array: {reason}'
    ) from error


def _from_folder(
  root: epath.Path, dataset: Dataset, settings: DatasetSettings
) -> Split:
  """Decodes the images of a folder of classes, as the data set's were."""
  source = os.fspath(root)
  paths = image_folder.list_images(root)
  class_of = {path: path.split('/')[0] for path in paths}
  labels = image_folder.labels_of(paths, class_of, dataset.class_names, source)
  height, width, _ = dataset.image_shape
  size = settings.image_size or (height if height == width else 0)
  listings = {'test': Listing(paths, labels)}
  splits, _ = decoded_splits(
    source,
    listings,
    image_folder.encoded_files(source, listings),
    settings=dataclasses.replace(settings, image_size=size),
    allocate=in_memory,
    source=source,
  )
  return splits['test']
