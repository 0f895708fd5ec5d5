"""Reading data: the first time, from the cache, and decoding JPEGs.

JPEGs of random pixels are the costliest there are. By processor time a rate is
that of a core that has nothing else to do: of one process that decodes, and of
a first read of an image folder, which also lists, stores, measures and
fingerprints.
"""

import io
import os
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import timing
from datadiet.configs import base
from datadiet.data import load_dataset
from datadiet.decoders.worker import decode_chunk


def _write_images(folder: Path, num_images: int, size: int) -> list[str]:
  """Writes JPEGs in ten classes of train and test; returns their paths."""
  rng = np.random.default_rng(0)
  paths = []
  for i in range(num_images):
    image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, 'JPEG', quality=90)
    split = 'test' if i % 60 < 10 else 'train'
    path = folder / split / f'class_{i % 10}' / f'{i:06d}.jpg'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(buffer.getvalue())
    paths.append(str(path))
  return paths


def _decoding(num_images: int, size: int) -> dict[str, tuple[float, float]]:
  """{what: images per second of (wall time, processor time)}."""
  rates = {}
  with tempfile.TemporaryDirectory() as scratch:
    folder = Path(scratch)
    paths = _write_images(folder / 'images', num_images, size)

    images = np.empty((num_images, size, size, 3), np.uint8)
    wall, processor = time.monotonic(), time.process_time()
    decode_chunk(images, paths, 0)
    wall = time.monotonic() - wall
    processor = time.process_time() - processor
    rates['one process'] = num_images / wall, num_images / processor

    settings = base.get_config().dataset
    settings.name = 'image_folder'
    settings.data_dir = str(folder / 'images')
    settings.cache_dir = str(folder / 'cache')
    for what in ('first read', 'from the cache'):
      start, before = time.monotonic(), os.times()
      load_dataset(settings)
      wall = time.monotonic() - start
      # User and system time of this process and of its ended workers.
      processor = sum(os.times()[:4]) - sum(before[:4])
      rates[what] = num_images / wall, num_images / processor
  return rates


def rows(options: Namespace) -> list[timing.Row]:
  """Decode rates, and seconds to read CIFAR-10 if its directory is given."""
  num_images = 3_000 if options.quick else 20_000
  rates = [_decoding(num_images, 32) for _ in range(options.repeats)]
  found = []
  for what in rates[0]:
    wall, processor = zip(*(rate[what] for rate in rates), strict=True)
    target = 'at least 3,000 a core' if what == 'one process' else ''
    for kind, values in (('wall', wall), ('processor', processor)):
      name = f'JPEGs of 32x32, {what}, by {kind} time'
      found.append(timing.Row('data', name, 'images/s', values, target=target))
  if options.data_dir:
    found += _cifar10(options.data_dir)
  return found


def _cifar10(data_dir: str) -> list[timing.Row]:
  with tempfile.TemporaryDirectory() as cache:
    settings = base.get_config().dataset
    settings.name, settings.data_dir = 'cifar10', data_dir
    settings.cache_dir = cache
    found = []
    for what, target in (('first', 'under 60 s'), ('cached', 'under 2 s')):
      start = time.perf_counter()
      load_dataset(settings)
      seconds = time.perf_counter() - start
      name = f'CIFAR-10 as TFDS, {what} read'
      found.append(timing.Row('data', name, 's', (seconds,), target=target))
  return found
