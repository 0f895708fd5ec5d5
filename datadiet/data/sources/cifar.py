"""CIFAR-10 and CIFAR-100, from TFDS or from the official python archives.

Both number the examples alike: TFDS's id 'train_16399' is example 16399 of the
archive. The canonical order differs, being that of the records in either; ids
join what was made from one with what was made from the other.
"""

import dataclasses
import os
from typing import Any

import numpy as np
from etils import epath

from datadiet.data import archives, pickles, splitting
from datadiet.data.dataset import (
  Allocate,
  Dataset,
  Split,
  in_memory,
  make_dataset,
)
from datadiet.data.settings import DatasetSettings
from datadiet.data.sources import tfds
from datadiet.decoders.images import resize
from datadiet.errors import ConfigError, DataDietError

_IMAGE_SHAPE = (32, 32, 3)
_NUM_PIXEL_BYTES = 3072


@dataclasses.dataclass(frozen=True)
class _Format:
  """What one of the archives holds.

  Attributes:
    archive: its file name.
    folder: the folder in it.
    train: files of the train split, in order.
    test: the file of the test split.
    meta: the file with the class names.
    labels: `config.dataset.label_key` -> keys of labels and of class names.
  """

  archive: str
  folder: str
  train: tuple[str, ...]
  test: str
  meta: str
  labels: dict[str, tuple[str, str]]


FORMATS = {
  'cifar10': _Format(
    'cifar-10-python.tar.gz',
    'cifar-10-batches-py',
    tuple(f'data_batch_{number}' for number in range(1, 6)),
    'test_batch',
    'batches.meta',
    {'label': ('labels', 'label_names')},
  ),
  'cifar100': _Format(
    'cifar-100-python.tar.gz',
    'cifar-100-python',
    ('train',),
    'test',
    'meta',
    {
      'label': ('fine_labels', 'fine_label_names'),
      'coarse_label': ('coarse_labels', 'coarse_label_names'),
    },
  ),
}


def find_archive(name: str, data_dir: str) -> epath.Path | None:
  """The archive, or its extracted folder, that `data_dir` is or holds."""
  if not data_dir:
    return None
  form = FORMATS[name]
  root = epath.Path(data_dir).expanduser()
  if root.is_file():
    return root
  for folder in (root, root / form.folder):
    if (folder / form.meta).exists() and (folder / form.test).exists():
      return folder
  # The folder comes last: it may not have been extracted completely.
  for path in (root / form.archive, root / form.folder):
    if path.exists():
      return path
  return None


def cifar_files(settings: DatasetSettings) -> epath.Path:
  """What `load_cifar` would read, for the cache's identity."""
  archive = _archive_in_use(settings)
  return archive if archive is not None else tfds.ensure_prepared(settings)


def _archive_in_use(settings: DatasetSettings) -> epath.Path | None:
  if tfds.prepared_folder(settings.name, settings.data_dir) is not None:
    return None
  archive = find_archive(settings.name, settings.data_dir)
  if archive is None and settings.data_dir:
    form = FORMATS[settings.name]
    raise ConfigError(
      f'config.dataset.data_dir: {settings.data_dir} holds neither '
      f'{form.archive} nor {form.folder}/ nor a prepared TFDS {settings.name}; '
      'put the official archive there, or leave data_dir empty to have TFDS '
      'download it'
    )
  return archive


def load_cifar(
  settings: DatasetSettings, allocate: Allocate = in_memory
) -> Dataset:
  """Reads CIFAR-10 or CIFAR-100.

  Args:
    settings: `config.dataset`; uses `name`, `data_dir` (with a prepared TFDS
      set, which comes first, the archive or its folder), `label_key`
      ('label' or, for cifar100, 'coarse_label') and `image_size`.
    allocate: for the images.

  Raises:
    DataDietError: if the data is missing, cut short or damaged.
  """
  archive = _archive_in_use(settings)
  if archive is None:
    return tfds.load_tfds(settings, allocate)
  form = FORMATS[settings.name]
  label_key = settings.label_key or 'label'
  if label_key not in form.labels:
    raise ConfigError(
      f'config.dataset.label_key: {label_key!r} is not allowed; allowed for '
      f'{settings.name}: {", ".join(form.labels)}'
    )
  splitting.check_usual_splits(settings, os.fspath(archive))
  if settings.id_key:
    raise ConfigError(
      f'config.dataset.id_key: {settings.id_key!r} is not allowed with '
      f"{archive}, which has no ids of its own; allowed: ''"
    )
  if archive.is_dir():
    return _load_batches(archive, form.labels[label_key], settings, allocate)
  with archives.unpacked(archive, settings.cache_dir) as root:
    folder = root / form.folder
    return _load_batches(folder, form.labels[label_key], settings, allocate)


def _load_batches(
  archive: epath.Path,
  keys: tuple[str, str],
  settings: DatasetSettings,
  allocate: Allocate,
) -> Dataset:
  """Reads the extracted folder of an archive."""
  form = FORMATS[settings.name]
  labels_key, names_key = keys
  batches = _read_folder(archive, [*form.train, form.test, form.meta])
  names = _value(batches[form.meta], names_key, archive / form.meta)
  expected = batches[form.meta].get('num_cases_per_batch')
  splits = {}
  for split_name, files in (('train', form.train), ('test', (form.test,))):
    images: list[np.ndarray] = []
    labels: list[int] = []
    for file_name in files:
      where = archive / file_name
      pixels = _pixels(batches[file_name], where, expected)
      images.append(resize(pixels, settings.image_size))
      labels.extend(_value(batches[file_name], labels_key, where))
    splits[split_name] = _split(split_name, images, labels, allocate, archive)
  mean, std = tfds.STATISTICS[settings.name]
  return make_dataset(
    settings.name,
    splits['train'],
    splits['test'],
    tuple(map(str, names)),
    mean=mean,
    std=std,
    source=os.fspath(archive),
  )


def _split(
  split_name: str,
  images: list[np.ndarray],
  labels: list[int],
  allocate: Allocate,
  archive: epath.Path,
) -> Split:
  num_examples = sum(map(len, images))
  if num_examples != len(labels):
    raise DataDietError(
      f'{archive}: the {split_name} split has {num_examples} images and '
      f'{len(labels)} labels'
    )
  joined = allocate(split_name, (num_examples, *images[0].shape[1:]))
  np.concatenate(images, out=joined)
  # As TFDS has them.
  ids = np.array([f'{split_name}_{i:05d}' for i in range(num_examples)])
  return Split(joined, np.array(labels, np.int32), ids)


def _value(batch: dict, key: str, where: epath.Path) -> Any:
  if key not in batch:
    raise DataDietError(
      f'{where} has no {key!r}; it is not part of the official archive'
    )
  return batch[key]


def _pixels(batch: dict, where: epath.Path, expected: int | None) -> np.ndarray:
  """uint8[num, 32, 32, 3] of a batch's rows of 1024 reds, greens and blues."""
  data = _value(batch, 'data', where)
  if (
    not isinstance(data, np.ndarray)
    or data.dtype != np.uint8
    or data.shape[1:] != (_NUM_PIXEL_BYTES,)
  ):
    raise DataDietError(f'{where} is damaged: its pixels are not rows of 3072')
  if expected is not None and len(data) != expected:
    raise DataDietError(
      f'{where} is not complete: it has {len(data)} images of {expected}'
    )
  height, width, channels = _IMAGE_SHAPE
  return data.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)


def _read_folder(folder: epath.Path, wanted: list[str]) -> dict[str, dict]:
  batches = {}
  for name in wanted:
    path = folder / name
    if not path.exists():
      raise DataDietError(f'{folder} is not complete: it has no file {name}')
    batches[name] = _unpickle(path, path.read_bytes())
  return batches


def _unpickle(where: epath.Path, content: bytes) -> dict:
  try:
    # Written by Python 2, whose texts are bytes.
    batch = pickles.load(content, encoding='latin1')
  # Damaged bytes can make a pickle raise nearly anything.
  except Exception as error:
    raise DataDietError(f'{where} is cut short or damaged ({error})') from error
  if not isinstance(batch, dict):
    raise DataDietError(f'{where} is damaged: it holds no dictionary')
  return batch
