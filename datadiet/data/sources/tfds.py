"""Image classification sets of TensorFlow Datasets, by name.

The only place that reads data with TensorFlow; it is imported inside the
functions, since the import takes seconds and later starts read the cache.
"""

import os
from collections.abc import Iterator

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
from datadiet.data.sources import tfds_pixels
from datadiet.errors import ConfigError, DataDietError
from datadiet.runtime import extras, stopping
from datadiet.runtime.progress import progress

# Mean and standard deviation of the train split's pixels in [0, 1], as the
# field uses them; for other sets they are measured.
_CIFAR_STATISTICS = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
STATISTICS = {'cifar10': _CIFAR_STATISTICS, 'cifar100': _CIFAR_STATISTICS}
# Written last by TFDS: a folder that has it is complete.
_INFO = 'dataset_info.json'
# Bytes of decoded images in a batch.
_BATCH_BYTES = 2**24


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


def ensure_prepared(settings) -> epath.Path:
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
  _, tfds = _import_tensorflow()
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


def _import_tensorflow():
  """TensorFlow and TFDS, which must not take the GPU's memory."""
  try:
    import tensorflow as tf
    import tensorflow_datasets as tfds
  except ImportError as error:
    raise extras.missing_library(
      'reading a set of TensorFlow Datasets for the first time',
      'tensorflow',
      'tensorflow_datasets',
    ) from error
  tf.config.set_visible_devices([], 'GPU')
  return tf, tfds


def load_tfds(settings, allocate: Allocate = in_memory) -> Dataset:
  """Reads a TFDS set; its record order is the canonical order.

  Args:
    settings: `config.dataset`; uses `name`, `data_dir` (of TFDS; '' for its
      default folder, where a missing set is downloaded), `label_key`,
      `train_splits`, `test_split`, `test_fraction` and `image_size` (images of
      other sizes are resized to it; 0 to leave them) and `background`.
    allocate: for the decoded images.

  Raises:
    DataDietError: if the set is unknown, not prepared in `data_dir`, cannot
      be downloaded, is damaged, or has no images or labels.
  """
  folder = ensure_prepared(settings)
  tf, tfds = _import_tensorflow()
  logging.info('Reading %s from %s', settings.name, folder)
  builder = tfds.builder_from_directory(folder)
  reader = _Reader(builder, settings)
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


class _Reader:
  """Decodes the splits of one prepared set."""

  def __init__(self, builder, settings):
    self._builder = builder
    self._label_key = label_key = settings.label_key or 'label'
    self._image_size = image_size = settings.image_size
    self._background = settings.background
    features = builder.info.features
    self._has_id = 'id' in features
    for key in ('image', label_key):
      if key not in features:
        raise DataDietError(
          f'{builder.name}: TFDS gives it no feature {key!r}, it has '
          f'{", ".join(sorted(features))}'
        )
    if not hasattr(features[label_key], 'names'):
      raise DataDietError(
        f'{builder.name}: the feature {label_key!r} is not the label of a '
        'class; set config.dataset.label_key to one that is'
      )
    tfds_pixels.check_dtype(features['image'], builder.name)
    if not image_size and None in features['image'].shape:
      raise DataDietError(
        f'{builder.name}: its images differ in size; set '
        'config.dataset.image_size to resize them to one'
      )

  @property
  def class_names(self) -> tuple[str, ...]:
    """One per class, in label order."""
    return tuple(self._builder.info.features[self._label_key].names)

  def num_examples(self, split: str) -> int:
    """Of one split, or of several joined by '+'."""
    splits = self._builder.info.splits
    return sum(splits[name].num_examples for name in split.split('+'))

  def labels(self, split: str) -> np.ndarray:
    """int32 labels of all records, without decoding images."""
    _, tfds = _import_tensorflow()
    decoders = {'image': tfds.decode.SkipDecoding()}
    records = self._records(split, decoders)
    key = self._label_key
    labels = records.map(lambda example: example[key]).batch(1000)
    return np.concatenate(list(labels.as_numpy_iterator())).astype(np.int32)

  def read(
    self, split: str, records: dict[str, np.ndarray], allocate: Allocate
  ) -> dict[str, Split]:
    """Decodes all records of a split, in order.

    Args:
      split: of TFDS.
      records: the record numbers of each split to be made.
      allocate: for the decoded images.
    """
    num_examples = self.num_examples(split)
    labels = np.zeros(num_examples, np.int32)
    ids: list[str] = []
    images: dict[str, np.ndarray] = {}
    with progress(f'Decoding {split}', num_examples, 'images') as bar:
      for batch in self._batches(split):
        if not images:
          shape = batch['image'].shape[1:]
          for name, numbers in records.items():
            images[name] = allocate(name, (len(numbers), *shape))
        start, end = len(ids), len(ids) + len(batch['label'])
        if end <= num_examples:
          upright = tfds_pixels.upright(
            batch['image'], batch['encoded'], self._builder.name
          )
          splitting.scatter(images, records, start, upright)
          labels[start:end] = batch['label']
        ids.extend(name.decode() for name in batch['id'])
        bar.advance(end - start)
        stopping.raise_if_requested()
    if len(ids) != num_examples:
      raise DataDietError(
        f'{self._builder.data_dir}: the split {split} has {len(ids)} records '
        f'where dataset_info.json says {num_examples}; the files are not '
        'complete'
      )
    return {
      name: Split(images[name], labels[numbers], np.array(ids)[numbers])
      for name, numbers in records.items()
    }

  def _records(self, split: str, decoders: dict | None = None):
    _, tfds = _import_tensorflow()
    return self._builder.as_dataset(
      split=split,
      shuffle_files=False,
      decoders=decoders,
      # One file at a time, in order: the canonical order is the records'.
      read_config=tfds.ReadConfig(
        interleave_cycle_length=1,
        add_tfds_id=not self._has_id,
        try_autocache=False,
      ),
    )

  def _batches(self, split: str) -> Iterator[dict]:
    tf, tfds = _import_tensorflow()
    size = self._image_size
    feature = self._builder.info.features['image']

    def pick(example):
      encoded = example['image']
      image = feature.decode_example(encoded)
      image = tfds_pixels.opaque(tf, image, self._background)
      if size:
        image = tf.image.resize(image, (size, size), antialias=True)
        image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
      name = example['id'] if self._has_id else example['tfds_id']
      label = example[self._label_key]
      return {'image': image, 'encoded': encoded, 'label': label, 'id': name}

    height, width = (size, size) if size else feature.shape[:2]
    batch_size = max(1, min(1000, _BATCH_BYTES // (height * width * 3)))
    yield from (
      self._records(split, {'image': tfds.decode.SkipDecoding()})
      .map(pick, num_parallel_calls=tf.data.AUTOTUNE)
      .batch(batch_size)
      .prefetch(2)
      .as_numpy_iterator()
    )
