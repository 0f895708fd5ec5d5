"""Sources of data: one file a source, one entry each in `DATASETS`."""

import dataclasses
from collections.abc import Callable

from datadiet.data import cache, tfds
from datadiet.data.dataset import Dataset, Split
from datadiet.data.digits import load_digits

__all__ = ['DATASETS', 'Dataset', 'Source', 'Split', 'load_dataset']


@dataclasses.dataclass(frozen=True)
class Source:
  """How to read one data set, and how to tell whether its files changed.

  Attributes:
    load: `config.dataset` -> Dataset.
    identity: `config.dataset` -> JSON-able value that changes whenever what
      `load` would return may change; None for data not worth caching.
  """

  load: Callable[..., Dataset]
  identity: Callable[..., object] | None = None


def _tfds_identity(settings) -> object:
  folder = tfds.prepared_folder(settings.name, settings.data_dir)
  files = cache.source_identity(folder) if folder is not None else []
  return [files, settings.label_key, settings.image_size]


# Any other name is looked for in TensorFlow Datasets.
TFDS = Source(tfds.load_tfds, _tfds_identity)
DATASETS: dict[str, Source] = {
  'digits': Source(load_digits),
  'cifar10': TFDS,
}


def load_dataset(settings) -> Dataset:
  """Loads the data set that `config.dataset` names, through the cache.

  Args:
    settings: `config.dataset`.

  Raises:
    DataDietError: if it is unknown, missing or damaged.
  """
  source = DATASETS.get(settings.name, TFDS)
  if source.identity is None:
    return source.load(settings)
  return cache.cached(
    settings.name,
    {'name': settings.name, 'source': source.identity(settings)},
    lambda: source.load(settings),
    settings.cache_dir,
  )
