"""Images decoded per second: one core, all cores, and a data set to the cache.

    python -m benchmarks.decode [--num_images=20000] [--size=32]

Writes JPEGs of random pixels, the costliest there are, to a temporary folder.
Prints images per second, and per second of processor time, which is the rate of
one core that has nothing else to do: of one process that decodes, and of a
first read of an image folder, which also lists, stores, measures and
fingerprints.
"""

import argparse
import io
import os
import pathlib
import tempfile
import time

import numpy as np
from PIL import Image

from datadiet.configs import base
from datadiet.data import decode_worker, decoding, load_dataset


def write_images(folder: pathlib.Path, num_images: int, size: int) -> list[str]:
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


def measure(num_images: int, size: int) -> dict[str, tuple[float, float]]:
  """{what: images per second of (wall time, processor time)}."""
  rates = {}
  with tempfile.TemporaryDirectory() as scratch:
    folder = pathlib.Path(scratch)
    paths = write_images(folder / 'images', num_images, size)

    wall, processor = time.monotonic(), time.process_time()
    decode_worker.decode_chunk(paths, size, size, 0)
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


def main() -> None:
  """Measures and prints."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--num_images', type=int, default=20_000)
  parser.add_argument('--size', type=int, default=32)
  flags = parser.parse_args()
  for what, (wall, processor) in measure(flags.num_images, flags.size).items():
    print(
      f'{what}: {wall:.0f} images/s on {decoding.num_cores()} cores', end=''
    )
    print(f' ({processor:.0f} per second of processor time)')


if __name__ == '__main__':
  main()
