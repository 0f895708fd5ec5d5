"""Reads a prepared set of TensorFlow Datasets, by TensorFlow."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from datadiet.data import splitting
from datadiet.data.dataset import Allocate, Split
from datadiet.data.settings import DatasetSettings
from datadiet.data.sources import tfds_pixels
from datadiet.errors import ConfigError, DataDietError
from datadiet.runtime import extras, stopping
from datadiet.runtime.progress import progress

# Bytes of decoded images in a batch.
_BATCH_BYTES = 2**24
# What TFDS calls the ids that it makes of file names and positions.
_TFDS_ID = 'tfds_id'


def import_tensorflow() -> tuple[Any, Any]:
  """Imports TensorFlow and TFDS, and keeps them off the GPU."""
  extras.quiet_tensorflow()
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


class Reader:
  """Decodes the splits of one prepared set."""

  def __init__(self, builder: Any, settings: DatasetSettings):
    """Checks the features that are to be read.

    Args:
      builder: of TFDS.
      settings: `config.dataset`; see `load_tfds`.

    Raises:
      DataDietError: if a feature is missing, or not of the kind needed.
    """
    _, tfds = import_tensorflow()
    self._builder = builder
    self._label_key = label_key = settings.label_key or 'label'
    self._image_size = image_size = settings.image_size
    self._background = settings.background
    features = builder.info.features
    self._id_key = _find_id_key(builder, settings.id_key)
    for key in ('image', label_key):
      if key not in features:
        raise DataDietError(
          f'{builder.name}: TFDS gives it no feature {key!r}, it has '
          f'{", ".join(sorted(features))}'
        )
    # A sequence of labels would hand on what it is asked for to each of them.
    if not isinstance(features[label_key], tfds.features.ClassLabel):
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
    """The class names in label order."""
    return tuple(self._builder.info.features[self._label_key].names)

  def num_examples(self, split: str) -> int:
    """The number of examples in a split, or in several joined by '+'."""
    splits = self._builder.info.splits
    return sum(splits[name].num_examples for name in split.split('+'))

  def labels(self, split: str) -> np.ndarray:
    """Reads the int32 labels of all records, without decoding images."""
    _, tfds = import_tensorflow()
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
        ids.extend(map(self._text_of, batch['id'].tolist()))
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

  def _text_of(self, name: bytes | int) -> str:
    """An id, which the records have as a text or a number."""
    try:
      text = name.decode() if isinstance(name, bytes) else str(name)
    except UnicodeDecodeError as error:
      raise DataDietError(
        f'{self._builder.data_dir}: the id {name!r} is not UTF-8'
      ) from error
    if not text:
      raise DataDietError(
        f'{self._builder.data_dir}: a record has no {self._id_key!r}; set '
        "config.dataset.id_key to another feature, or to 'none' for TFDS's own"
      )
    return text

  def _records(self, split: str, decoders: dict | None = None):
    _, tfds = import_tensorflow()
    return self._builder.as_dataset(
      split=split,
      shuffle_files=False,
      decoders=decoders,
      # One file at a time, in order: the canonical order is the records'.
      read_config=tfds.ReadConfig(
        interleave_cycle_length=1,
        add_tfds_id=self._id_key == _TFDS_ID,
        try_autocache=False,
      ),
    )

  def _batches(self, split: str) -> Iterator[dict]:
    tf, tfds = import_tensorflow()
    size = self._image_size
    feature = self._builder.info.features['image']

    def pick(example):
      encoded = example['image']
      image = feature.decode_example(encoded)
      image = tfds_pixels.opaque(tf, image, self._background)
      if size:
        image = tf.image.resize(image, (size, size), antialias=True)
        image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
      label, name = example[self._label_key], example[self._id_key]
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


def _find_id_key(builder: Any, id_key: str) -> str:
  """The feature with the ids; `_TFDS_ID` for those that TFDS makes."""
  features = builder.info.features
  if id_key == 'none' or not id_key and 'id' not in features:
    return _TFDS_ID
  id_key = id_key or 'id'
  known = [
    name
    for name, feature in features.items()
    if feature.shape == () and np.dtype(feature.np_dtype).kind in 'iuOSU'
  ]
  if id_key not in known:
    raise ConfigError(
      f'config.dataset.id_key: {id_key!r} is not allowed; allowed for '
      f"{builder.name}: {', '.join(sorted(known))}, or 'none' for TFDS's own"
    )
  return id_key
