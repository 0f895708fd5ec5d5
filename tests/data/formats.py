"""Small data sets in the official formats, made from random pixels."""

import io
import json
import os
import pathlib
import pickle
import shutil
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from datadiet.configs import base
from datadiet.data.settings import DatasetSettings
from datadiet.settings import from_values

CIFAR10_NAMES = (
  'airplane automobile bird cat deer dog frog horse ship truck'.split()
)
# Where TensorFlow Datasets has put the real CIFAR-10; some tests need it.
TEST_DATA = pathlib.Path(os.environ.get('DATADIET_TEST_DATA') or 'not set')
HAS_CIFAR10 = (TEST_DATA / 'cifar10').exists()
if 'DATADIET_TEST_DATA' in os.environ and not HAS_CIFAR10:
  raise ValueError(f'DATADIET_TEST_DATA: there is no {TEST_DATA}/cifar10')
NEEDS_CIFAR10 = (
  'needs DATADIET_TEST_DATA, a folder of TensorFlow Datasets with cifar10'
)
needs_cifar10 = pytest.mark.skipif(not HAS_CIFAR10, reason=NEEDS_CIFAR10)


def settings(name, data_dir, /, cache_dir='none', **changes):
  """`config.dataset` with some fields set, by dotted names."""
  config = base.get_config().dataset
  given = {'name': name, 'data_dir': str(data_dir), 'cache_dir': str(cache_dir)}
  config.update_from_flattened_dict({**given, **changes})
  return from_values(DatasetSettings, config.to_dict())


def random_images(num, size=32, seed=0, channels=3):
  """uint8[num, size, size, channels]."""
  rng = np.random.default_rng(seed)
  return rng.integers(0, 256, (num, size, size, channels), dtype=np.uint8)


def encode(image, form='PNG', **options):
  """The bytes of an image file."""
  buffer = io.BytesIO()
  if isinstance(image, np.ndarray):
    image = Image.fromarray(image)
  image.save(buffer, form, **options)
  return buffer.getvalue()


def write(path, content):
  """Writes a file and the folders above it."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_bytes(content)


def write_tar(path, members):
  """Writes a .tar.gz of pairs of name and content."""
  with tarfile.open(path, 'w:gz') as archive:
    for name, content in members:
      info = tarfile.TarInfo(name)
      info.size = len(content)
      archive.addfile(info, io.BytesIO(content))


def pickle_of_python_2(value):
  """A pickle as Python 2 wrote it: texts are bytes, arrays by their parts.

  Python 3 cannot write these opcodes, which the CIFAR archives consist of.
  """
  return b'\x80\x02' + _opcodes(value) + b'.'


def _opcodes(value):
  if isinstance(value, dict):
    items = b''.join(_opcodes(k) + _opcodes(v) for k, v in value.items())
    return b'}(' + items + b'u'
  if isinstance(value, list):
    return b'](' + b''.join(map(_opcodes, value)) + b'e'
  if isinstance(value, str):
    return b'U' + bytes([len(value)]) + value.encode('latin1')
  if isinstance(value, int):
    return b'J' + struct.pack('<i', value)
  assert value.dtype == np.uint8
  # ndarray.__reduce__: _reconstruct(ndarray, (0,), 'b'), then its state.
  made = b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85'
  made += _opcodes('b') + b'tR'
  shape = b'(' + b''.join(map(_opcodes, value.shape)) + b't'
  dtype = b'cnumpy\ndtype\n(' + _opcodes('u1') + b'K\x00K\x01tR'
  dtype += b'(K\x03' + _opcodes('|') + b'NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xff'
  dtype += b'K\x00tb'
  pixels = value.tobytes()
  content = b'T' + struct.pack('<i', len(pixels)) + pixels
  return made + b'(K\x01' + shape + dtype + b'\x89' + content + b'tb'


def _rows(images):
  return images.transpose(0, 3, 1, 2).reshape(len(images), -1)


def cifar10_files(num_a_batch=4):
  """Files of cifar-10-batches-py, with train and test images and labels."""
  images = random_images(6 * num_a_batch)
  labels = np.arange(6 * num_a_batch) * 7 % 10
  files = {
    'batches.meta': {
      'num_cases_per_batch': num_a_batch,
      'label_names': CIFAR10_NAMES,
      'num_vis': 3072,
    }
  }
  names = [*(f'data_batch_{i}' for i in range(1, 6)), 'test_batch']
  for number, name in enumerate(names):
    part = slice(number * num_a_batch, (number + 1) * num_a_batch)
    files[name] = {
      'batch_label': f'batch {number}',
      'labels': labels[part].tolist(),
      'data': _rows(images[part]),
      'filenames': [f'{i}.png' for i in range(num_a_batch)],
    }
  contents = {
    f'cifar-10-batches-py/{name}': pickle_of_python_2(value)
    for name, value in files.items()
  }
  split = 5 * num_a_batch
  return (
    contents,
    (images[:split], labels[:split]),
    (images[split:], labels[split:]),
  )


def cifar100_files(num_train=40, num_test=20):
  """As `cifar10_files`, with (fine, coarse) labels."""
  images = random_images(num_train + num_test, seed=1)
  fine = np.arange(len(images)) * 37 % 100
  coarse = fine // 5
  files = {
    'meta': {
      'fine_label_names': [f'fine_{i:02d}' for i in range(100)],
      'coarse_label_names': [f'coarse_{i:02d}' for i in range(20)],
    }
  }
  for name, part in (
    ('train', slice(0, num_train)),
    ('test', slice(num_train, None)),
  ):
    files[name] = {
      'filenames': ['x.png'] * len(fine[part]),
      'batch_label': 'training batch 1 of 1',
      'fine_labels': fine[part].tolist(),
      'coarse_labels': coarse[part].tolist(),
      'data': _rows(images[part]),
    }
  contents = {
    f'cifar-100-python/{name}': pickle_of_python_2(value)
    for name, value in files.items()
  }
  return contents, images, fine, coarse


def cinic10_images(num_a_class=2):
  """Path -> image of a small CINIC-10, one of them grey, one of a palette."""
  images = {}
  for split_number, split in enumerate(('train', 'valid', 'test')):
    for label, name in enumerate(CIFAR10_NAMES):
      seed = 10 * split_number + label
      pixels = random_images(num_a_class, seed=seed)
      for i in range(num_a_class):
        origin = f'cifar10-{split}-{i}' if i % 2 == 0 else f'n0{label}_{i}'
        image = Image.fromarray(pixels[i])
        if (split, name) == ('train', 'cat') and i == 0:
          image = image.convert('L')
        if (split, name) == ('valid', 'dog') and i == 0:
          image = image.convert('P', palette=Image.Palette.ADAPTIVE)
        images[f'{split}/{name}/{origin}.png'] = image
  return images


def write_image_folder(root, counts, form='PNG', size=32, **options):
  """Writes random images; `counts` maps a folder to their number."""
  written = {}
  for seed, (folder, num) in enumerate(counts.items()):
    for i, image in enumerate(random_images(num, size, seed)):
      name = f'{folder}/{i:03d}.{form.lower()}'
      write(root / name, encode(image, form, **options))
      written[name] = image
  return written


def _first_records(source, target, num_records: int) -> int:
  """Copies the first records of a TFRecord file; returns their bytes."""
  num_bytes = 0
  with source.open('rb') as read, target.open('wb') as write:
    for _ in range(num_records):
      header = read.read(12)  # Length, and a checksum of it.
      (length,) = struct.unpack('<Q', header[:8])
      write.write(header + read.read(length + 4))  # The data has one too.
      num_bytes += length
  return num_bytes


def write_first_cifar10(folder, num_train: int, num_test: int) -> None:
  """Writes a TFDS folder with the first images of the real CIFAR-10."""
  (source,) = (TEST_DATA / 'cifar10').iterdir()
  target = folder / 'cifar10' / source.name
  target.mkdir(parents=True)
  for name in ('features.json', 'label.labels.txt'):
    shutil.copy(source / name, target / name)
  info = json.loads((source / 'dataset_info.json').read_text())
  for split in info['splits']:
    number = {'train': num_train, 'test': num_test}[split['name']]
    name = f'cifar10-{split["name"]}.tfrecord-00000-of-00001'
    split['numBytes'] = str(
      _first_records(source / name, target / name, number)
    )
    split['shardLengths'] = [str(number)]
  (target / 'dataset_info.json').write_text(json.dumps(info))


def save_torch(path, found, protocol=2):
  """As torch.save writes arrays, without PyTorch."""
  with zipfile.ZipFile(path, 'w') as archive:
    archive.writestr('name/data.pkl', pickle.dumps(found, protocol))
    archive.writestr('name/version', '3\n')
