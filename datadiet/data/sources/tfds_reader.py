"""Reads a prepared set of TensorFlow Datasets, by TensorFlow."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from datadiet.data import splitting
from datadiet.data.dataset import Allocate, Split
from datadiet.data.decoding import EncodedImage, Listing
from datadiet.data.settings import DatasetSettings
from datadiet.data.sources import tfds_pixels
from datadiet.errors import ConfigError, DataDietError
from datadiet.runtime import extras, stopping
from datadiet.runtime.progress import progress

# Bytes of decoded images in a batch.
_BATCH_BYTES = 2**24
# What TFDS calls the ids that it makes of file names and positions.
_TFDS_ID = 'tfds_id'
# Encoded images held at a time: few, as photographs may be large.
_ROWS = 16


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
  """Reads the splits of one prepared set."""

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
    self._image_size = settings.image_size
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
    shape = features['image'].shape
    self._is_file = isinstance(features['image'], tfds.features.Image)
    if not self._is_file and (len(shape) != 3 or None in shape):
      raise DataDietError(
        f"{builder.name}: its feature 'image' is of the kind "
        f'{type(features["image"]).__name__}, of shape {shape}; allowed: '
        'Image, which are PNG or JPEG files, or Tensor of one height and width'
      )
    tfds_pixels.check_dtype(features['image'], builder.name)

  @property
  def folder(self) -> str:
    """Of the prepared set."""
    return os.fspath(self._builder.data_dir)

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
    labels = self._records(split).map(lambda record: record['label'])
    batches = labels.batch(1000).as_numpy_iterator()
    return np.concatenate(list(batches)).astype(np.int32)

  def encoded(
    self,
    split: str,
    records: Mapping[str, np.ndarray],
    listings: Mapping[str, Listing],
  ) -> Iterator[EncodedImage]:
    """The images of all records of a split as they are, in order.

    Args:
      split: of TFDS.
      records: the record numbers of each split to be made.
      listings: of each split to be made; their labels and ids are filled in
        with the images, so that files are read once.
    """
    names = list(records)
    of_split = np.zeros(self.num_examples(split), np.int8)
    for number, name in enumerate(names):
      of_split[records[name]] = number
    taken = dict.fromkeys(names, 0)
    found = self._records(split).prefetch(_ROWS).as_numpy_iterator()
    for which, record in zip(of_split, found, strict=True):
      name = names[which]
      listing, position = listings[name], taken[name]
      taken[name] += 1
      text = self._text_of(record['id'])
      listing.labels[position] = int(record['label'])
      listing.ids[position] = text
      where = f'{self.folder}, {text}'
      yield EncodedImage(name, position, record['image'], where)

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
        upright = tfds_pixels.upright(
          batch['image'], batch['encoded'], self._builder.name
        )
        splitting.scatter(images, records, start, upright)
        labels[start:end] = batch['label']
        ids.extend(map(self._text_of, batch['id'].tolist()))
        bar.advance(end - start)
        stopping.raise_if_requested()
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
        f'{self.folder}: the id {name!r} is not UTF-8'
      ) from error
    if not text:
      raise DataDietError(
        f'{self.folder}: a record has no {self._id_key!r}; set '
        "config.dataset.id_key to another feature, or to 'none' for TFDS's own"
      )
    return text

  def _records(self, split: str) -> Any:
    """A tf.data.Dataset of encoded images, labels and ids, in order.

    It raises an error of TensorFlow where files have another number of records
    than dataset_info.json says, of ArrayRecord files where they have fewer.
    """
    tf, tfds = import_tensorflow()
    builder, id_key = self._builder, self._id_key
    wanted = {'image', self._label_key, id_key} - {_TFDS_ID}
    # Of sets with further images and boxes, only what is needed.
    partial = tfds.decode.PartialDecoding(
      dict.fromkeys(wanted, True), {'image': tfds.decode.SkipDecoding()}
    )
    if builder.info.file_format.value == 'array_record':
      extras.require('reading ArrayRecord files of a set', 'array_record')
      features = partial.extract_features(builder.info.features)

      def decode(content, name):
        example = features.deserialize_example(
          content, decoders=partial.decoders
        )
        return {**example, _TFDS_ID: name}

      records = tf.data.Dataset.from_generator(
        lambda: _array_records(builder, split),
        output_signature=(tf.TensorSpec([None], tf.string),) * 2,
      )
      records = records.unbatch().map(decode)
    else:
      records = builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders=partial,
        # One file at a time, in order: the canonical order is the records'.
        read_config=tfds.ReadConfig(
          interleave_cycle_length=1,
          add_tfds_id=id_key == _TFDS_ID,
          try_autocache=False,
        ),
      )
    return records.map(
      lambda example: {
        'image': example['image'],
        'label': example[self._label_key],
        'id': example[id_key],
      }
    )

  def _batches(self, split: str) -> Iterator[dict]:
    """Decoded images, their files, labels and ids, some records at a time."""
    tf, _ = import_tensorflow()
    size = self._image_size
    feature = self._builder.info.features['image']

    def decode(record):
      image = feature.decode_example(record['image'])
      image = tfds_pixels.opaque(tf, image, self._background)
      if size:
        image = tf.image.resize(image, (size, size), antialias=True)
        image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
      encoded = record['image'] if self._is_file else b''
      return {**record, 'image': image, 'encoded': encoded}

    height, width = (size, size) if size else feature.shape[:2]
    batch_size = max(1, min(1000, _BATCH_BYTES // (height * width * 3)))
    yield from (
      self._records(split)
      .map(decode, num_parallel_calls=tf.data.AUTOTUNE)
      .batch(batch_size)
      .prefetch(2)
      .as_numpy_iterator()
    )


def _array_records(
  builder: Any, split: str
) -> Iterator[tuple[list[bytes], list[str]]]:
  """Serialized records of ArrayRecord files, in order, and TFDS's own ids.

  `as_dataset` does not read such files.
  """
  _, tfds = import_tensorflow()
  source = builder.as_data_source(
    split, deserialize_method=tfds.decode.DeserializeMethod.RAW_BYTES
  )
  ids = [
    f'{os.path.basename(file.filename)}__{number}'
    for file in builder.info.splits[split].file_instructions
    for number in range(file.examples_in_shard)
  ]
  for start in range(0, len(source), _ROWS):
    rows = range(start, min(start + _ROWS, len(source)))
    yield source.__getitems__(list(rows)), ids[start : rows.stop]


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
