"""Image classification sets of TensorFlow Datasets, by name.

TensorFlow is imported inside the functions, since the import takes seconds and
later starts read the cache.
"""

import os

import numpy as np
from absl import logging
from etils import epath

from datadiet.data import splitting
from datadiet.data.dataset import (
  Allocate,
  Dataset,
  in_memory,
  make_dataset,
)
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
  name, data_dir = settings.name, settings.data_dir
  folder = prepared_folder(name, data_dir)
  if folder is not None:
    return folder
  if data_dir:
    raise ConfigError(
      f'config.dataset.data_dir: {data_dir} holds no prepared {name!r}; make '
      f'it by `python -m tensorflow_datasets build {name} '
      f'--data_dir={data_dir}`, or leave data_dir empty to have it downloaded '
      'to the default folder'
    )
  _, tfds = import_tensorflow()
  try:
    builder = tfds.builder(name, try_gcs=False)
  except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
    raise ConfigError(
      f'config.dataset.name: TensorFlow Datasets has no set {name!r}'
    ) from error
  try:
    builder.download_and_prepare()
  except Exception as error:  # Network, checksum and disk errors of many kinds.
    reason = str(error).strip().splitlines() or [type(error).__name__]
    raise DataDietError(
      f'{name} could not be downloaded ({reason[0][:200]}); put a prepared '
      'copy somewhere and pass --config.dataset.data_dir=THAT_FOLDER'
    ) from error
  return epath.Path(builder.data_dir)


def load_tfds(
  settings: DatasetSettings, allocate: Allocate = in_memory
) -> Dataset:
  """Reads a TFDS set; its record order is the canonical order.

  Args:
    settings: `config.dataset`; uses `name`, `data_dir` (of TFDS; '' for its
      default folder, where a missing set is downloaded), `label_key`,
      `id_key`, `train_splits`, `test_split`, `test_fraction`, `image_size`
      (images of other sizes are resized to it; 0 to leave them) and
      `background`.
    allocate: for the decoded images.

  Raises:
    DataDietError: if the set is unknown, not prepared in `data_dir`, cannot
      be downloaded, is damaged, or has no images or labels.
  """
  folder = ensure_prepared(settings)
  tf, tfds = import_tensorflow()
  logging.info('Reading %s from %s', settings.name, folder)
  builder = tfds.builder_from_directory(folder)
  reader = Reader(builder, settings)
  train_splits, test_split = splitting.choose_splits(
    builder.info.splits,
    settings.train_splits,
    settings.test_split,
    os.fspath(folder),
  )
  train = '+'.join(train_splits)
  names = reader.class_names
  try:
    if test_split is None:
      records = splitting.stratified_split(
        reader.labels(train), settings.test_fraction, names, os.fspath(folder)
      )
      splits = reader.read(train, records, allocate)
    else:
      splits = {}
      for name, split in (('train', train), ('test', test_split)):
        records = {name: np.arange(reader.num_examples(split))}
        splits |= reader.read(split, records, allocate)
  except tf.errors.OpError as error:
    raise DataDietError(
      f'{folder} cannot be read: {error.message.splitlines()[0][:200]}'
    ) from error
  base, _, _ = settings.name.partition(':')
  mean, std = STATISTICS.get(base, (None, None))
  return make_dataset(
    settings.name,
    splits['train'],
    splits['test'],
    names,
    mean=mean,
    std=std,
    source=os.fspath(folder),
  )
