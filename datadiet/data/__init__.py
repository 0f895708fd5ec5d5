"""Sources of data: one file a source, one entry each in `DATASETS`."""

import dataclasses
from collections.abc import Callable

from datadiet.data import cache, identity, labels, remote
from datadiet.data.dataset import Dataset, Split
from datadiet.data.sources import (
  arrays,
  cifar,
  cinic10,
  hugging_face,
  image_folder,
  tfds,
)
from datadiet.data.sources.digits import load_digits
from datadiet.errors import ConfigError, DataDietError
from datadiet.settings import closest
from datadiet.workdir import storage

__all__ = ['DATASETS', 'TREES', 'Dataset', 'Source', 'Split', 'load_dataset']


@dataclasses.dataclass(frozen=True)
class Source:
  """How to read one data set, and how to tell whether its files changed.

  Attributes:
    load: (`config.dataset`, `Allocate`) -> Dataset.
    files: `config.dataset` -> the file or folder that `load` would read; None
      for data not worth caching.
  """

  load: Callable[..., Dataset]
  files: Callable[..., object] | None = None


def _folder_files(settings) -> object:
  return image_folder.require_folder(settings.data_dir, settings.name)


# Any other name is looked for in TensorFlow Datasets.
TFDS = Source(tfds.load_tfds, tfds.ensure_prepared)
_CIFAR = Source(cifar.load_cifar, cifar.cifar_files)
DATASETS: dict[str, Source] = {
  'digits': Source(load_digits),
  'cifar10': _CIFAR,
  'cifar100': _CIFAR,
  'cinic10': Source(cinic10.load_cinic10, cinic10.find_cinic10),
  'image_folder': Source(image_folder.load_image_folder, _folder_files),
  'arrays': Source(arrays.load_arrays, arrays.find_arrays),
  'hugging_face': Source(hugging_face.load_hugging_face, _folder_files),
}
# Sources that take all that lies in `data_dir` for data.
TREES = ('cinic10', 'image_folder', 'arrays', 'hugging_face')
# Fields of `config.dataset` that change what a source gives.
_OPTIONS = (
  'name',
  'label_key',
  'id_key',
  'image_size',
  'train_splits',
  'test_split',
  'test_fraction',
  'skip_unreadable',
  'background',
)


def load_dataset(settings) -> Dataset:
  """Loads the data set that `config.dataset` names, through the cache.

  Args:
    settings: `config.dataset`.

  Returns:
    The data set, with the labels that the settings ask for.

  Raises:
    DataDietError: if it is unknown, missing or damaged, or if the settings'
      labels do not fit it.
  """
  source = DATASETS.get(settings.name, TFDS)
  if source.files is None:
    dataset = source.load(settings)
  else:
    options = {name: _plain(getattr(settings, name)) for name in _OPTIONS}
    files = _files(source, settings)
    what = {**options, 'files': identity.source_identity(files)}
    place = (settings.name, what)

    def load(allocate):
      if not storage.is_remote(files):
        return source.load(settings, allocate)
      scratch = cache.scratch_folder(*place, settings.cache_dir)
      with remote.local_copy(settings, files, scratch) as copied:
        return source.load(copied, allocate)

    dataset = cache.cached(*place, load, settings.cache_dir)
  return labels.apply_labels(dataset, settings)


def _files(source: Source, settings) -> object:
  """The source's files; an unknown name gets the known ones in its error."""
  try:
    return source.files(settings)
  except DataDietError as error:
    if settings.name in DATASETS:
      raise
    known = ''
    if isinstance(error, ConfigError):
      known = f', and known here are {", ".join(DATASETS)}'
    hint = closest(settings.name, DATASETS)
    raise type(error)(f'{error}{known}{hint}') from error


def _plain(value: object) -> object:
  return list(value) if isinstance(value, tuple) else value
