"""For TensorFlow Datasets: the ids to keep, and the code of a filter."""

import os
import re
from pathlib import Path

from datadiet.data import DATASETS
from datadiet.data.sources.tfds import is_array_record, prepared_folder
from datadiet.errors import DataDietError
from datadiet.exporting import lists
from datadiet.exporting.subset import Subset
from datadiet.exporting.torch_subset import header
from datadiet.workdir import storage

# As TFDS itself names a record of a set without ids of its own.
_TFDS_ID = re.compile(r'.+-of-\d+__\d+')
_CODE = """\
import pathlib

import tensorflow as tf
import tensorflow_datasets as tfds

ids = {ids}
kept = tf.lookup.StaticHashTable(
  tf.lookup.KeyValueTensorInitializer(ids, tf.ones(len(ids), tf.int64)), 0
)
dataset = tfds.load(
  {name!r},
  split={split!r},
  data_dir={data_dir!r},
  # One file after the other: the same order each time.
  read_config=tfds.ReadConfig(interleave_cycle_length=1{add_id}),
).filter(lambda example: kept.lookup(example[{key!r}]) > 0)
"""


def write_tfds(subset: Subset, folder: Path, final: Path) -> None:
  """Writes the lists of `write_lists`, and code that filters a TFDS set.

  Args:
    subset: the examples.
    folder: to write to; filter.py beside the lists, whose lines can be
      pasted.
    final: the folder's name when it is complete.

  Raises:
    DataDietError: if the data is none of TFDS, or in ArrayRecord files.
  """
  name, settings = subset.dataset.name, subset.settings
  if name in DATASETS and name not in ('cifar10', 'cifar100'):
    raise DataDietError(
      f'the format tfds is for sets of TensorFlow Datasets, not for {name}'
    )
  has_tfds_ids = all(map(_TFDS_ID.fullmatch, subset.ids))
  data_dir = None
  # CIFAR's ids are the same where its archive was read, and not TFDS's copy.
  prepared = prepared_folder(name, settings.data_dir)
  if prepared and is_array_record(prepared):
    raise DataDietError(
      f'the format tfds filters by tf.data, which does not read {prepared}, '
      'whose files are ArrayRecords; allowed: any other format'
    )
  if settings.data_dir and prepared:
    data_dir = settings.data_dir
    if not storage.is_remote(data_dir):
      data_dir = os.path.abspath(os.path.expanduser(data_dir))
  code = _CODE.format(
    ids=lists.READ_IDS.format(path=os.fspath(final / lists.IDS)),
    name=name,
    split='+'.join(settings.train_splits) or 'train',
    data_dir=data_dir,
    key='tfds_id' if has_tfds_ids else 'id',
    add_id=', add_tfds_id=True' if has_tfds_ids else '',
  )
  lists.write_lists(subset, folder, final)
  (folder / 'filter.py').write_bytes((header(subset) + code).encode())
