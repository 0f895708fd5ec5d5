"""Packs a TFDS image set into one file that can be read without TensorFlow.

    python -m benchmarks.pack --data_dir DATA --output cifar10.npz

Image files are taken over as they are, not decoded and encoded again, so
CIFAR-10 that is prepared with JPEGs stays below 60 MB. Read it by

    --config.dataset.name=packed --config.dataset.data_dir=cifar10.npz

which gives the same examples and ids in the same order. JPEGs are then decoded
by Pillow, whose pixels differ from TensorFlow's by a grey level or so (1.0 on
average, 5 at most in 2,000 test images of CIFAR-10): the fingerprint is another
one, and scores made here are joined by id. PNGs come out the same.
"""

import argparse
import os

from datadiet.data.sources import tfds as tfds_source
from datadiet.data.sources.packed import write_packed


def pack(name: str, data_dir: str, output: str, limit: int = 0) -> None:
  """Packs a prepared set.

  Args:
    name: of the set, with splits train and test.
    data_dir: of TFDS.
    output: the .npz file to be written.
    limit: of examples a split, the first ones; 0 for all.

  Raises:
    DataDietError: if the set is not prepared in `data_dir`.
  """
  import tensorflow_datasets as tfds

  folder = tfds_source.prepared_folder(name, data_dir)
  if folder is None:
    raise SystemExit(f'{data_dir} holds no prepared {name!r}')
  builder = tfds.builder_from_directory(folder)
  files, labels, ids = {}, {}, {}
  for split in ('train', 'test'):
    records = builder.as_dataset(
      split=split,
      shuffle_files=False,
      decoders={'image': tfds.decode.SkipDecoding()},
      # As datadiet reads it: the order is the records'.
      read_config=tfds.ReadConfig(interleave_cycle_length=1),
    )
    records = list(records.take(limit or -1).as_numpy_iterator())
    files[split] = [record['image'] for record in records]
    labels[split] = [int(record['label']) for record in records]
    ids[split] = [record['id'].decode() for record in records]
  mean, std = tfds_source.STATISTICS.get(name, (None, None))
  class_names = tuple(builder.info.features['label'].names)
  write_packed(output, files, labels, ids, class_names, mean=mean, std=std)


def main() -> None:
  """Packs, and says how large the file is."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--name', default='cifar10')
  parser.add_argument('--data_dir', required=True)
  parser.add_argument('--output', default='build/cifar10.npz')
  parser.add_argument('--limit', type=int, default=0)
  options = parser.parse_args()
  pack(options.name, options.data_dir, options.output, options.limit)
  size = os.path.getsize(options.output)
  print(f'{options.output}: {size / 1e6:.1f} MB')


if __name__ == '__main__':
  main()
