"""Sources of data: one file a source, one entry each in `DATASETS`."""

import dataclasses
from collections.abc import Callable
from typing import Any

from absl import logging
from etils import epath

from datadiet.data import cache, identity, labels, remote
from datadiet.data.dataset import Allocate, Dataset, Split, with_crop
from datadiet.data.extra_tests import with_extra_tests
from datadiet.data.settings import PLACEMENTS, STREAM, DatasetSettings
from datadiet.data.sources import (
  arrays,
  cifar,
  cinic10,
  hugging_face,
  image_folder,
  imagenet,
  tfds,
)
from datadiet.data.sources.digits import load_digits
from datadiet.errors import ConfigError, DataDietError
from datadiet.runtime.memory import host_memory
from datadiet.settings import closest
from datadiet.workdir import storage

__all__ = [
  'DATASETS',
  'TFDS',
  'TFDS_PHOTOGRAPHS',
  'Dataset',
  'Source',
  'Split',
  'load_dataset',
]


@dataclasses.dataclass(frozen=True)
class Source:
  """How to read one data set, and which files and settings identify it.

  Attributes:
    load: (`config.dataset`, `Allocate`) -> Dataset.
    files: `config.dataset` -> the file or folder that `load` would read; None
      for data that needs no `data_dir` and is not worth caching.
    settings: fields of `config.dataset` that change what `load` gives, beside
      `name` and `data_dir`. Others are refused with this source, and the
      decoded cache knows what it holds by these.
    encoded: whether it has files of encoded images, which can be streamed.
    num_images: (`config.dataset`, what `files` gives) -> the number of these;
      None where each file holds one.
    is_tree: whether it takes all that lies in `data_dir` for data, so that no
      workdir may lie there.
  """

  load: Callable[..., Dataset]
  files: Callable[[DatasetSettings], epath.Path] | None = None
  settings: tuple[str, ...] = ()
  encoded: bool = False
  num_images: Callable[[DatasetSettings, epath.Path], int] | None = None
  is_tree: bool = False


def _folder_files(settings: DatasetSettings) -> epath.Path:
  return image_folder.require_folder(settings.data_dir, settings.name)


_SPLITS = ('train_splits', 'test_split', 'test_fraction')
_PICTURES = ('image_size', 'resize', 'background', 'skip_unreadable')
_TFDS_SETTINGS = ('label_key', 'id_key', *_SPLITS, 'image_size', 'background')
# Any other name is looked for in TensorFlow Datasets. TensorFlow decodes and
# resizes JPEGs to other bits than `decoding`, so what it decodes cannot be
# streamed.
TFDS = Source(tfds.load_tfds, tfds.ensure_prepared, _TFDS_SETTINGS)
# Before, TensorFlow decoded these too: the further settings are in the key of
# the cache, so that pixels of then are not taken for those of now.
TFDS_PHOTOGRAPHS = Source(
  tfds.load_photographs,
  tfds.ensure_prepared,
  ('label_key', 'id_key', *_SPLITS, *_PICTURES),
  encoded=True,
  num_images=tfds.num_images,
)
_CIFAR = Source(cifar.load_cifar, cifar.cifar_files, _TFDS_SETTINGS)
DATASETS: dict[str, Source] = {
  'digits': Source(load_digits),
  'cifar10': _CIFAR,
  'cifar100': _CIFAR,
  'cinic10': Source(
    cinic10.load_cinic10,
    cinic10.find_cinic10,
    ('train_splits', 'test_split', *_PICTURES),
    is_tree=True,
  ),
  'image_folder': Source(
    image_folder.load_image_folder,
    _folder_files,
    (*_SPLITS, *_PICTURES),
    encoded=True,
    is_tree=True,
  ),
  'imagenet': Source(
    imagenet.load_imagenet,
    imagenet.find_imagenet,
    _PICTURES,
    encoded=True,
    is_tree=True,
  ),
  'arrays': Source(
    arrays.load_arrays,
    arrays.find_arrays,
    (*_SPLITS, 'image_size'),
    is_tree=True,
  ),
  'hugging_face': Source(
    hugging_face.load_hugging_face,
    _folder_files,
    ('label_key', 'id_key', *_SPLITS, *_PICTURES),
    encoded=True,
    num_images=hugging_face.num_images,
    is_tree=True,
  ),
}
# Fields of `config.dataset` that are used whatever the source.
_ALWAYS = (
  'name',
  'cache_dir',
  'crop_size',
  'extra_tests',
  'normalise',
  'placement',
  'labels_path',
  'labels_are',
  'labels_order',
  'label_noise',
)


def load_dataset(settings: DatasetSettings) -> Dataset:
  """Loads the data set that `config.dataset` names, through the cache.

  Args:
    settings: `config.dataset`.

  Returns:
    The data set, with the labels that the settings ask for.

  Raises:
    DataDietError: if it is unknown, missing or damaged, or if the settings'
      labels do not fit it.
  """
  source = DATASETS.get(settings.name)
  if source is None:
    differ = _found(tfds.has_photographs, settings)
    source = TFDS_PHOTOGRAPHS if differ else TFDS
  _check_settings(source, settings)
  if source.files is None:
    dataset = source.load(_Declared(source, settings))
  else:
    options = {
      name: _plain(getattr(settings, name))
      for name in ('name', *source.settings)
    }
    files = _found(source.files, settings)
    found = identity.source_identity(files)
    what = {**options, 'files': found}
    stays_encoded = _stays_encoded(source, settings, files, found[0])
    if stays_encoded:
      what['placement'] = 'auto' if callable(stays_encoded) else STREAM
    place = (settings.name, what)

    def load(allocate: Allocate) -> Dataset:
      if not storage.is_remote(files):
        return source.load(_Declared(source, settings), allocate)
      scratch = cache.scratch_folder(*place, settings.cache_dir)
      with remote.local_copy(settings, files, scratch) as copied:
        return source.load(_Declared(source, copied), allocate)

    dataset = cache.cached(*place, load, settings.cache_dir, stays_encoded)
  dataset = with_extra_tests(with_crop(dataset, settings.crop_size), settings)
  return labels.apply_labels(dataset, settings)


class _Declared:
  """`config.dataset` as a source may see it: what its entry declares.

  So that no setting can change the data and be forgotten in the cache's key.
  """

  def __init__(self, source: Source, settings: DatasetSettings):
    self._names = ('name', 'data_dir', 'cache_dir', *source.settings)
    self._settings = settings

  def __getattr__(self, name: str) -> Any:
    if name not in self._names:
      raise AttributeError(
        f'config.dataset.{name} is not among the settings that the entry of '
        f'{self._settings.name} in DATASETS declares: {self._names}'
      )
    return getattr(self._settings, name)


def _check_settings(source: Source, settings: DatasetSettings) -> None:
  """Refuses settings that the source would silently ignore."""
  if settings.placement == STREAM and not source.encoded:
    known = ', '.join(name for name, one in DATASETS.items() if one.encoded)
    why = 'are no files of their own'
    if source is TFDS:
      why = 'have one size, and are decoded by TensorFlow to its own pixels'
    raise ConfigError(
      f'config.dataset.placement: {STREAM!r} is not allowed with '
      f'{settings.name}, whose images {why}; allowed: '
      f'{", ".join(PLACEMENTS[:-1])}, or a data set of {known}, or one of '
      'TensorFlow Datasets with images of several sizes'
    )
  used = {*_ALWAYS, *source.settings}
  if source.files is not None:
    used.add('data_dir')
  for name, default in dataclasses.asdict(DatasetSettings()).items():
    value = getattr(settings, name)
    if name not in used and _plain(value) != _plain(default):
      raise ConfigError(
        f'config.dataset.{name}: {value!r} is not allowed with '
        f'{settings.name}, which does not use it; allowed: {default!r}'
      )


def _found(
  look: Callable[[DatasetSettings], Any], settings: DatasetSettings
) -> Any:
  """What is there; an unknown name gets the known ones in its error."""
  try:
    return look(settings)
  except DataDietError as error:
    if settings.name in DATASETS:
      raise
    known = ''
    if isinstance(error, ConfigError):
      known = f', and known here are {", ".join(DATASETS)}'
    hint = closest(settings.name, DATASETS)
    raise type(error)(f'{error}{known}{hint}') from error


def _stays_encoded(
  source: Source, settings: DatasetSettings, files: epath.Path, num_files: int
) -> cache.StaysEncoded:
  """Whether images stay encoded: as asked for, or if they would fill memory."""
  if settings.placement == STREAM:
    return True
  if settings.placement != 'auto' or not source.encoded:
    return False
  num = source.num_images(settings, files) if source.num_images else num_files

  def would_fill_memory(height: int, width: int) -> bool:
    num_bytes, memory = num * height * width * 3, host_memory()
    if num_bytes <= memory:
      return False
    logging.info(
      'Images stay encoded and are decoded when they are needed: %d images of '
      '%dx%d pixels are %.0f GB, and this host has %.0f GB of memory',
      num,
      width,
      height,
      num_bytes / 1e9,
      memory / 1e9,
    )
    return True

  # Images that are left as they are have one size, which the first one tells.
  size = settings.image_size
  return would_fill_memory(size, size) if size else would_fill_memory


def _plain(value: object) -> object:
  return list(value) if isinstance(value, tuple) else value
