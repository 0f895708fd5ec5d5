"""Tests of worker processes that decode: what they share, and their ends."""

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from datadiet.decoders import pool, worker
from datadiet.errors import DataDietError
from tests.data import formats


def test_workers_give_what_this_process_gives():
  """Chunks of several sizes at once, more of them than there are workers."""
  images = formats.random_images(40)
  contents = [formats.encode(image) for image in images]
  contents[7] = b'no image'
  parts = [slice(0, 1), slice(1, 20), slice(20, 21), slice(21, 40)]

  def decoded(decode_chunk):
    pixels = np.ones((40, 32, 32, 3), np.uint8)
    with ThreadPoolExecutor(4) as threads:
      found = threads.map(
        lambda part: decode_chunk(pixels[part], contents[part], 0), parts
      )
      return pixels, list(found)

  expected, expected_found = decoded(worker.decode_chunk)
  with pool.decoders(1) as decode_chunk:
    assert decode_chunk is worker.decode_chunk
  with pool.decoders(2) as decode_chunk:
    pixels, found = decoded(decode_chunk)
  np.testing.assert_array_equal(pixels, expected)
  assert found == expected_found
  np.testing.assert_array_equal(pixels[8:], images[8:])


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


def test_worker_that_dies_is_an_error(monkeypatch):
  dying = 'import os, signal\nos.kill(os.getpid(), signal.SIGKILL)'
  monkeypatch.setattr(pool, '_PROGRAM', dying)
  with pool.decoders(2) as decode_chunk:
    with pytest.raises(DataDietError, match=r'unexpectedly \(exit code -9\)'):
      decode_chunk(np.empty((1, 32, 32, 3), np.uint8), [b''], 0)


def test_no_process_is_left(monkeypatch):
  made = []
  popen = pool.subprocess.Popen

  def remembered(*args, **options):
    made.append(popen(*args, **options))
    return made[-1]

  monkeypatch.setattr(pool.subprocess, 'Popen', remembered)
  with pytest.raises(KeyError), pool.decoders(3):
    raise KeyError
  assert len(made) == 3
  assert all(one.returncode is not None for one in made)
