"""Image classification sets of TensorFlow Datasets, by name.

Those of one size are decoded by TensorFlow, so that their pixels are the
official ones; photographs, which differ in size, as those of any other source.
TensorFlow is imported inside the functions, since the import takes seconds and
later starts read the cache.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from absl import logging
from etils import epath

from datadiet.data import splitting
from datadiet.data.dataset import (
  Allocate,
  Dataset,
  Split,
  in_memory,
  make_dataset,
)
from datadiet.data.decoding import Listing, decoded_dataset
from datadiet.data.settings import DatasetSettings
from datadiet.data.sources.tfds_reader import Reader, import_tensorflow
from datadiet.errors import ConfigError, DataDietError

# Mean and standard deviation of the train split's pixels in [0, 1], as the
# field uses them; for other sets they are measured.
_CIFAR_STATISTICS = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
STATISTICS = {'cifar10': _CIFAR_STATISTICS, 'cifar100': _CIFAR_STATISTICS}
# Written last by TFDS: a folder that has it is complete.
_INFO = 'dataset_info.json'


def root_folder(data_dir: str) -> epath.Path:
  """`data_dir`, or the default folder of TFDS if it is ''."""
  default = os.environ.get('TFDS_DATA_DIR', '~/tensorflow_datasets')
  return epath.Path(data_dir or default).expanduser()


def prepared_folder(name: str, data_dir: str) -> epath.Path | None:
  """The newest prepared version of a set below `data_dir`, or None.

  Args:
    name: as TFDS takes it: 'set', 'set/config', each perhaps with ':version'.
    data_dir: of TFDS; '' for its default folder.

  Raises:
    DataDietError: if several configs are there and `name` does not say which.
  """
  base, _, version = name.partition(':')
  root = root_folder(data_dir) / base
  if not root.exists():
    return None
  # <version>, or <builder config>/<version>.
  found = [
    folder
    for below in root.iterdir()
    if below.is_dir()
    for folder in (below, *below.iterdir())
    if version in ('', folder.name) and (folder / _INFO).exists()
  ]
  configs = sorted({folder.parent.name for folder in found})
  if len(configs) > 1:
    raise DataDietError(
      f'config.dataset.name: {root} holds several configs of {base!r}; '
      f'allowed: {base}/ and one of {", ".join(configs)}'
    )
  return max(found, key=lambda path: _version_key(path.name), default=None)


def _version_key(version: str) -> tuple:
  return tuple(
    int(part) if part.isdigit() else -1 for part in version.split('.')
  )


def ensure_prepared(settings: DatasetSettings) -> epath.Path:
  """The folder of a prepared set, which is downloaded if it must be.

  TensorFlow is only imported for a download.

  Args:
    settings: `config.dataset`; uses `name` and `data_dir`.

  Raises:
    ConfigError: if the set is unknown, or not prepared in `data_dir`.
    DataDietError: if it cannot be downloaded.
  """
  name = settings.name
  folder = prepared_folder(name, settings.data_dir)
  if folder is not None:
    return folder
  builder = _builder(settings)
  try:
    builder.download_and_prepare()
  except Exception as error:  # Network, checksum and disk errors of many kinds.
    reason = str(error).strip().splitlines() or [type(error).__name__]
    raise DataDietError(
      f'{name} could not be downloaded ({reason[0][:200]}); put a prepared '
      'copy somewhere and pass --config.dataset.data_dir=THAT_FOLDER'
    ) from error
  return epath.Path(builder.data_dir)


def _builder(settings: DatasetSettings) -> Any:
  """What downloads and prepares a set that is not prepared."""
  name, data_dir = settings.name, settings.data_dir
  if data_dir:
    raise ConfigError(
      f'config.dataset.data_dir: {data_dir} holds no prepared {name!r}; make '
      f'it by `python -m tensorflow_datasets build {name} '
      f'--data_dir={data_dir}`, or leave data_dir empty to have it downloaded '
      'to the default folder'
    )
  _, tfds = import_tensorflow()
  try:
    return tfds.builder(name, try_gcs=False)
  except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
    raise ConfigError(
      f'config.dataset.name: TensorFlow Datasets has no set {name!r}'
    ) from error


def has_photographs(settings: DatasetSettings) -> bool:
  """Whether a set's images differ in size, without downloading it.

  TensorFlow is only imported for a set that is not prepared, or was long ago.

  Args:
    settings: `config.dataset`; uses `name` and `data_dir`.

  Raises:
    ConfigError: as `ensure_prepared`.
    DataDietError: if the prepared set is damaged.
  """
  folder = prepared_folder(settings.name, settings.data_dir)
  if folder is not None:
    described = _read_json(folder / 'features.json').get('featuresDict')
    if described:
      image = described['features'].get('image', {}).get('image', {})
      return '-1' in image.get('shape', {}).get('dimensions', [])[:2]
  _, tfds = import_tensorflow()
  if folder is None:
    features = _builder(settings).info.features
  else:  # Described as older versions of TFDS did.
    features = tfds.features.FeatureConnector.from_config(folder)
  image = features['image'] if 'image' in features else None
  return isinstance(image, tfds.features.Image) and None in image.shape[:2]


def num_images(settings: DatasetSettings, folder: epath.Path) -> int:
  """The number of images in those splits of a prepared set that are used.

  Args:
    settings: `config.dataset`; uses `train_splits` and `test_split`.
    folder: of `ensure_prepared`.
  """
  counts = {
    # An empty list is left out of the file.
    split['name']: sum(map(int, split.get('shardLengths', ())))
    for split in _read_json(folder / _INFO).get('splits', ())
  }
  train, test = _chosen(counts, settings, folder)
  return sum(counts[name] for name in (*train, *([test] if test else [])))


def _read_json(path: epath.Path) -> dict:
  try:
    return json.loads(path.read_text())
  except (OSError, ValueError) as error:
    raise DataDietError(f'{path} is missing or damaged ({error})') from error


def is_array_record(folder: epath.Path) -> bool:
  """Whether the records of a prepared set lie in ArrayRecord files."""
  return _read_json(folder / _INFO).get('fileFormat') == 'array_record'


def _chosen(
  known: Iterable[str], settings: DatasetSettings, folder: epath.Path
) -> tuple[tuple[str, ...], str | None]:
  return splitting.choose_splits(
    known, settings.train_splits, settings.test_split, os.fspath(folder)
  )


@contextmanager
def _opened(
  settings: DatasetSettings,
) -> Iterator[tuple[Reader, dict[str, dict[str, np.ndarray]]]]:
  """A set's reader, and which records of its splits make up train and test."""
  folder = ensure_prepared(settings)
  tf, tfds = import_tensorflow()
  logging.info('Reading %s from %s', settings.name, folder)
  builder = tfds.builder_from_directory(folder)
  reader = Reader(builder, settings)
  train_splits, test = _chosen(builder.info.splits, settings, folder)
  train = '+'.join(train_splits)
  try:
    if test is None:
      labels = reader.labels(train)
      names, where = reader.class_names, os.fspath(folder)
      fraction = settings.test_fraction
      parts = {
        train: splitting.stratified_split(labels, fraction, names, where)
      }
    else:
      parts = {
        split: {name: np.arange(reader.num_examples(split))}
        for name, split in (('train', train), ('test', test))
      }
    yield reader, parts
  except tf.errors.OpError as error:
    # Without the names of TensorFlow's functions, as in '{{node}} x [Op:y]'.
    reason = (error.message or type(error).__name__).splitlines()[0]
    reason = reason.rpartition('}} ')[2]
    reason = reason.partition(' [Op:')[0]
    raise DataDietError(f'{folder} cannot be read: {reason[:200]}') from error


def load_tfds(
  settings: DatasetSettings, allocate: Allocate = in_memory
) -> Dataset:
  """Reads a TFDS set of one size; its record order is the canonical order.

  Args:
    settings: `config.dataset`; uses `name`, `data_dir` (of TFDS; '' for its
      default folder, where a missing set is downloaded), `label_key`,
      `id_key`, `train_splits`, `test_split`, `test_fraction`, `image_size`
      (TensorFlow resizes images of another size to it; 0 to leave them) and
      `background`.
    allocate: for the decoded images.

  Raises:
    DataDietError: if the set is unknown, not prepared in `data_dir`, cannot
      be downloaded, is damaged, or has no images or labels.
  """
  splits: dict[str, Split] = {}
  with _opened(settings) as (reader, parts):
    for split, records in parts.items():
      splits |= reader.read(split, records, allocate)
  base, _, _ = settings.name.partition(':')
  mean, std = STATISTICS.get(base, (None, None))
  return make_dataset(
    settings.name,
    splits['train'],
    splits['test'],
    reader.class_names,
    mean=mean,
    std=std,
    source=reader.folder,
  )


def load_photographs(
  settings: DatasetSettings, allocate: Allocate = in_memory
) -> Dataset:
  """Reads a TFDS set whose images differ in size; see `has_photographs`.

  The order is that of the records. TensorFlow takes the encoded images out of
  them, and they are decoded as those of other sources are.

  Args:
    settings: `config.dataset`; as `load_tfds`, and `resize` and
      `skip_unreadable`.
    allocate: for the images.

  Raises:
    DataDietError: as `load_tfds`, and as `decoded_dataset`.
  """
  with _opened(settings) as (reader, parts):
    listings = {
      name: Listing([''] * len(numbers), np.zeros(len(numbers), np.int32))
      for records in parts.values()
      for name, numbers in records.items()
    }
    encoded = (
      image
      for split, records in parts.items()
      for image in reader.encoded(split, records, listings)
    )
    return decoded_dataset(
      settings.name,
      listings,
      encoded,
      reader.class_names,
      settings=settings,
      allocate=allocate,
      source=reader.folder,
    )
