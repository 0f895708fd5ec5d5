"""Image classification sets of TensorFlow Datasets, by name.

The only place that reads data with TensorFlow; it is imported inside the
functions, since the import takes seconds and later starts read the cache.
"""

from collections.abc import Iterator

import numpy as np
from absl import logging
from etils import epath

from datadiet.data.dataset import Dataset, Split, make_dataset
from datadiet.errors import DataDietError

# Mean and standard deviation of the train split's pixels in [0, 1], as the
# field uses them; for other sets they are measured.
_CIFAR_STATISTICS = ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
STATISTICS = {'cifar10': _CIFAR_STATISTICS, 'cifar100': _CIFAR_STATISTICS}


def prepared_folder(name: str, data_dir: str) -> epath.Path | None:
  """The newest prepared version of a set below `data_dir`, or None."""
  root = epath.Path(data_dir or '~/tensorflow_datasets').expanduser() / name
  if not root.exists():
    return None
  # <version>, or <builder config>/<version>.
  found = [
    path.parent
    for pattern in ('*/dataset_info.json', '*/*/dataset_info.json')
    for path in root.glob(pattern)
  ]
  return max(found, key=lambda path: _version_key(path.name), default=None)


def _version_key(version: str) -> tuple:
  return tuple(
    int(part) if part.isdigit() else -1 for part in version.split('.')
  )


def load_tfds(settings) -> Dataset:
  """Reads a TFDS set; its record order is the canonical order.

  Args:
    settings: `config.dataset`; uses `name`, `data_dir` (of TFDS; '' for its
      default folder, where a missing set is downloaded), `label_key` and
      `image_size` (images of other sizes are resized to it; 0 to leave them).

  Raises:
    DataDietError: if the set is unknown, not prepared in `data_dir`, cannot
      be downloaded, or has no image, label or test split.
  """
  builder = _builder(settings.name, settings.data_dir)
  label_key = settings.label_key or 'label'
  features = builder.info.features
  for key in ('image', label_key):
    if key not in features:
      raise DataDietError(
        f'{settings.name}: TFDS gives it no feature {key!r}, it has '
        f'{", ".join(sorted(features))}'
      )
  splits = builder.info.splits
  test_name = 'test' if 'test' in splits else 'validation'
  for needed in ('train', test_name):
    if needed not in splits:
      raise DataDietError(
        f'{settings.name}: TFDS gives it no {needed!r} split, it has '
        f'{", ".join(splits)}'
      )
  read = [
    _read_split(builder, split, label_key, settings.image_size)
    for split in ('train', test_name)
  ]
  mean, std = STATISTICS.get(settings.name, (None, None))
  names = tuple(features[label_key].names)
  return make_dataset(settings.name, *read, names, mean=mean, std=std)


def _builder(name: str, data_dir: str):
  import tensorflow as tf
  import tensorflow_datasets as tfds

  # TensorFlow only reads files here: it must not take the GPU's memory.
  tf.config.set_visible_devices([], 'GPU')
  folder = prepared_folder(name, data_dir)
  if folder is not None:
    logging.info('Reading %s from %s', name, folder)
    return tfds.builder_from_directory(folder)
  if data_dir:
    raise DataDietError(
      f'config.dataset.data_dir: {data_dir} holds no prepared {name!r}; make '
      f'it by `python -m tensorflow_datasets build {name} '
      f'--data_dir={data_dir}`, or leave data_dir empty to have it downloaded '
      'to the default folder'
    )
  try:
    builder = tfds.builder(name, try_gcs=False)
  except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
    raise DataDietError(
      f'config.dataset.name: {name!r} is neither one of this project nor one '
      'of TensorFlow Datasets'
    ) from error
  try:
    builder.download_and_prepare()
  except Exception as error:  # Network, checksum and disk errors of many kinds.
    reason = str(error).strip().splitlines() or [type(error).__name__]
    raise DataDietError(
      f'{name} could not be downloaded ({reason[0][:200]}); put a prepared '
      'copy somewhere and pass --config.dataset.data_dir=THAT_FOLDER'
    ) from error
  return builder


def _read_split(builder, split: str, label_key: str, image_size: int) -> Split:
  """Decodes one split in record order."""
  num_examples = builder.info.splits[split].num_examples
  images = None
  labels = np.zeros(num_examples, np.int32)
  ids: list[str] = []
  position = 0
  for batch in _batches(builder, split, label_key, image_size):
    if images is None:
      images = np.zeros((num_examples, *batch['image'].shape[1:]), np.uint8)
    end = position + len(batch['label'])
    images[position:end] = batch['image']
    labels[position:end] = batch['label']
    ids.extend(name.decode() for name in batch['id'])
    position = end
  if position != num_examples:
    raise DataDietError(
      f'{builder.data_dir}: the {split} split has {position} records where '
      f'dataset_info.json says {num_examples}; the files are not complete'
    )
  return Split(images, labels, np.array(ids))


def _batches(builder, split, label_key, image_size) -> Iterator[dict]:
  import tensorflow as tf
  import tensorflow_datasets as tfds

  has_id = 'id' in builder.info.features
  dataset = builder.as_dataset(
    split=split,
    shuffle_files=False,
    # One file at a time, in order: the canonical order is that of the records.
    read_config=tfds.ReadConfig(
      interleave_cycle_length=1, add_tfds_id=not has_id, try_autocache=False
    ),
  )

  def pick(example):
    image = example['image']
    if image_size:
      image = tf.image.resize(image, (image_size, image_size), antialias=True)
      image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
    name = example['id'] if has_id else example['tfds_id']
    return {'image': image, 'label': example[label_key], 'id': name}

  if not image_size and None in builder.info.features['image'].shape:
    raise DataDietError(
      f'{builder.name}: its images differ in size; set '
      'config.dataset.image_size to resize them to one'
    )
  yield from (
    dataset.map(pick, num_parallel_calls=tf.data.AUTOTUNE)
    .batch(1000)
    .prefetch(tf.data.AUTOTUNE)
    .as_numpy_iterator()
  )
