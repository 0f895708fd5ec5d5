"""The decoded cache never serves the pixels of other files."""

import os
import shutil

import numpy as np
import pytest

from datadiet.data import load_dataset
from tests.data import formats


def _write(root, seed):
  """Uncompressed images: all files have one size; and one time."""
  for label, name in enumerate('ab'):
    images = formats.random_images(5, 8, 10 * seed + label)
    for i, image in enumerate(images):
      path = root / name / f'{i}.bmp'
      formats.write(path, formats.encode(image, 'BMP'))
      os.utime(path, (1, 1))


def _read(tmp_path, data='data'):
  settings = formats.settings(
    'image_folder', tmp_path / data, tmp_path / 'cache'
  )
  return load_dataset(settings)


def _truth(tmp_path, data='data'):
  return load_dataset(formats.settings('image_folder', tmp_path / data))


def _unpack_another(root):
  """Another archive with fixed times, over the first."""
  _write(root, 1)


def _replace_folder(root):
  shutil.rmtree(root)
  _write(root, 1)


def _swap_classes(root):
  """Renamed folders keep all times of the files in them."""
  (root / 'a').rename(root / 'c')
  (root / 'b').rename(root / 'a')
  (root / 'c').rename(root / 'b')


def _swap_files(root):
  for name in ('0.bmp', '3.bmp'):
    (root / 'a' / name).rename(root / 'x.bmp')
    (root / 'b' / name).rename(root / 'a' / name)
    (root / 'x.bmp').rename(root / 'b' / name)


def _patch(root):
  """A byte in place, and the time of writing set back."""
  for name in 'ab':
    with (root / name / '1.bmp').open('r+b') as file:
      file.seek(60)
      file.write(b'\xff\x00\xff')
    os.utime(root / name / '1.bmp', (1, 1))


def _link_to_others(root):
  _write(root.parent / 'others', 2)
  shutil.rmtree(root / 'a')
  (root / 'a').symlink_to(root.parent / 'others/b')


@pytest.mark.parametrize(
  'change',
  [
    _unpack_another,
    _replace_folder,
    _swap_classes,
    _swap_files,
    _patch,
    _link_to_others,
  ],
)
def test_other_content_of_the_same_names_sizes_and_times(tmp_path, change):
  _write(tmp_path / 'data', 0)
  before = _read(tmp_path)
  assert before.fingerprint == _read(tmp_path).fingerprint
  change(tmp_path / 'data')
  truth = _truth(tmp_path)
  assert truth.fingerprint != before.fingerprint
  assert _read(tmp_path).fingerprint == truth.fingerprint


def test_another_array_file_of_the_same_size_and_time(tmp_path):
  labels = np.arange(20) % 2
  settings = formats.settings('arrays', tmp_path / 'x.npz', tmp_path / 'cache')
  found = []
  for seed in (0, 1):
    images = formats.random_images(20, 8, seed)
    np.savez(tmp_path / 'x.npz', images=images, labels=labels)
    os.utime(tmp_path / 'x.npz', (1, 1))
    found.append(load_dataset(settings).train.images[0])
  assert (found[0] != found[1]).any()


def test_another_background_is_another_entry(tmp_path):
  rgba = formats.random_images(4, 8, channels=4)
  for i, image in enumerate(rgba):
    formats.write(tmp_path / 'data' / 'ab'[i % 2] / f'{i}.png', b'')
    (tmp_path / 'data' / 'ab'[i % 2] / f'{i}.png').write_bytes(
      formats.encode(image)
    )
  fingerprints = {
    load_dataset(
      formats.settings(
        'image_folder',
        tmp_path / 'data',
        tmp_path / 'cache',
        background=background,
      )
    ).fingerprint
    for background in ('white', 'black', '#808080')
  }
  assert len(fingerprints) == 3
