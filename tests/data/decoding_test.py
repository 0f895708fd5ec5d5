"""Tests of decoding on all cores, its rate, and its memory."""

import io
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from datadiet.data import decoding, load_dataset
from datadiet.decoders import pool
from datadiet.decoders.images import decode
from datadiet.decoders.worker import decode_chunk
from datadiet.errors import DataDietError, Preempted
from datadiet.runtime import stopping
from tests.data import formats

ROOT = pathlib.Path(__file__).parents[2]
_TWO_CLASSES = {'train/a': 150, 'train/b': 150, 'test/a': 2, 'test/b': 2}


def test_workers_give_what_one_process_gives(tmp_path, monkeypatch):
  counts = {'train/a': 300, 'train/b': 290, 'test/a': 5, 'test/b': 5}
  formats.write_image_folder(tmp_path, counts)
  settings = formats.settings('image_folder', tmp_path)
  fingerprints = set()
  for num_cores in (1, 2, 3):
    monkeypatch.setattr(decoding, 'num_cores', lambda n=num_cores: n)
    monkeypatch.setattr(decoding, '_CHUNK_IMAGES', 64 + num_cores)
    fingerprints.add(load_dataset(settings).fingerprint)
  assert len(fingerprints) == 1


@pytest.mark.parametrize('dtype', [np.int32, np.float32])
def test_pixels_of_unknown_range_are_refused(dtype):
  """Integers of 32 bits, cut to 8, would all be black or white."""
  content = io.BytesIO()
  Image.fromarray(np.full((8, 8), 200, dtype)).save(content, 'TIFF')
  with pytest.raises(ValueError, match='32-bit .* allowed: up to 16 bits'):
    decode(content.getvalue(), 0)


def test_systems_without_files_in_memory_have_others(monkeypatch):
  image = formats.random_images(1)[0]

  def refused(name):
    raise PermissionError(13, 'Permission denied')

  monkeypatch.setattr(os, 'memfd_create', refused, raising=False)
  with pool.decoders(2) as decode_chunk:
    pixels = np.empty((1, 32, 32, 3), np.uint8)
    errors, _ = decode_chunk(pixels, [formats.encode(image)], 0)
  assert not errors
  np.testing.assert_array_equal(pixels[0], image)


def test_memory_that_cannot_be_shared_is_said(monkeypatch):
  def full(number, length):
    raise OSError(12, 'Cannot allocate memory')

  monkeypatch.setattr(pool.mmap, 'mmap', full)
  with pool.decoders(2) as decode_chunk:
    with pytest.raises(DataDietError, match='0 MB of memory cannot be shared'):
      decode_chunk(np.empty((1, 32, 32, 3), np.uint8), [b''], 0)


def test_worker_that_dies_is_an_error(tmp_path, monkeypatch):
  formats.write_image_folder(tmp_path, _TWO_CLASSES)
  dying = 'import os, signal\nos.kill(os.getpid(), signal.SIGKILL)'
  monkeypatch.setattr(decoding, 'num_cores', lambda: 2)
  monkeypatch.setattr(pool, '_PROGRAM', dying)
  with pytest.raises(DataDietError, match='ended unexpectedly'):
    load_dataset(formats.settings('image_folder', tmp_path))


def test_request_to_stop_ends_decoding(tmp_path, monkeypatch):
  formats.write_image_folder(tmp_path, _TWO_CLASSES)
  monkeypatch.setattr(stopping, '_requested', True)
  with pytest.raises(Preempted):
    load_dataset(formats.settings('image_folder', tmp_path))


def test_rate_on_one_core():
  """A bound that a busy machine keeps; benchmarks/data.py measures."""
  images = formats.random_images(500)
  contents = [formats.encode(image, 'JPEG', quality=90) for image in images]
  decoded = np.empty_like(images)
  best = 0.0
  for _ in range(5):
    start = time.process_time()
    errors, _ = decode_chunk(decoded, contents, 0)
    best = max(best, len(contents) / (time.process_time() - start))
  assert not errors
  assert best > 1500


_LIMITED = """
import resource, sys
import numpy as np
from datadiet.data import load_dataset, decoding
from tests.data import formats
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
decoding.num_cores = lambda: 2
settings = formats.settings('image_folder', sys.argv[2], sys.argv[3])
dataset = load_dataset(settings)
print(dataset.train.images.nbytes, dataset.train.num_examples)
"""


@pytest.mark.skipif(
  not sys.platform.startswith('linux'), reason='needs the limits of Linux'
)
def test_set_larger_than_memory(tmp_path):
  """Decoded, measured and fingerprinted within less memory than it takes."""
  one = np.zeros((1000, 1000, 3), np.uint8)
  one[::7] = 200
  content = formats.encode(one)
  for i in range(120):
    formats.write(tmp_path / f'data/train/{"ab"[i % 2]}/{i:03d}.png', content)
  for name in 'ab':
    formats.write(tmp_path / f'data/test/{name}/000.png', content)
  limit = 180 * 2**20
  command = [sys.executable, '-c', _LIMITED, str(limit), str(tmp_path / 'data')]
  environment = {**os.environ, 'OPENBLAS_NUM_THREADS': '1'}
  done = subprocess.run(
    [*command, str(tmp_path / 'cache')],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  num_bytes, num_examples = map(int, done.stdout.split())
  assert num_examples == 120
  assert num_bytes > 1.9 * limit
  # The limit is one that decoding in memory does not keep.
  done = subprocess.run(
    [*command, 'none'],
    cwd=ROOT,
    env=environment,
    capture_output=True,
    text=True,
  )
  assert done.returncode != 0
  assert 'MemoryError' in done.stderr
