"""Photographs per second, decoded and cropped: ours, torchvision's, tf.data's.

    python -m benchmarks.input_rate [--num_images=512] [--repeats=5]

JPEGs of 500 x 375 pixels, cut out of scikit-image's photographs (astronaut,
chelsea, coffee, rocket; quality 90), give crops of 224. All three take two
processes or threads and their turns in one process. Ours streams files that are
cut as they are decoded ('photo_crop_flip'), as the other two do, or decoded
to 256 pixels, which the train step cuts on the device ('resized_crop_flip').
Ours and tf.data resize bilinearly without smoothing, torchvision with it. Needs
torch, torchvision and scikit-image.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jax
import numpy as np
from PIL import Image

from benchmarks import timing
from datadiet.configs import base
from datadiet.data import load_dataset
from datadiet.data.packed import PackedImages, cropped
from datadiet.decoders.crops import Crops
from datadiet.feeding.augmentation import Augmentation

_SIZE = (500, 375)
_PHOTOGRAPHS = ('astronaut', 'chelsea', 'coffee', 'rocket')
_BATCH, _CROP = 64, 224


def write_photographs(folder: Path, num_images: int) -> list[str]:
  """Writes JPEGs in two classes of train and test; returns the train paths."""
  from skimage import data

  rng = np.random.default_rng(0)
  sources = [Image.fromarray(getattr(data, name)()) for name in _PHOTOGRAPHS]
  paths = []
  for i in range(num_images + 2):
    source = sources[i % len(sources)]
    scale = max(_SIZE[0] / source.width, _SIZE[1] / source.height)
    scale *= rng.uniform(1.0, 1.5)
    size = [int(np.ceil(side * scale)) for side in source.size]
    left, top = (rng.integers(0, s - t + 1) for s, t in zip(size, _SIZE))
    box = (left, top, left + _SIZE[0], top + _SIZE[1])
    picture = source.resize(size).crop(box)
    split = 'train' if i < num_images else 'test'
    path = folder / split / f'class_{i % 2}' / f'{i:06d}.jpg'
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, 'JPEG', quality=90)
    paths.append(str(path))
  return paths[:num_images]


def _ours(folder: Path) -> PackedImages:
  settings = base.get_config().dataset
  settings.name, settings.data_dir = 'image_folder', str(folder)
  settings.cache_dir = str(folder.parent / 'cache')
  settings.placement = 'stream'
  settings.image_size, settings.resize = 256, 'shorter_side'
  return load_dataset(settings).train.images


def _read(
  images: PackedImages, read: Callable[[np.ndarray], np.ndarray]
) -> Callable[[], float]:
  """An epoch of batches, two at a time as in training."""
  rng = np.random.default_rng(0)

  def epoch() -> float:
    order = rng.permutation(len(images))
    parts = [order[i : i + _BATCH] for i in range(0, len(order), _BATCH)]
    start = time.perf_counter()
    with ThreadPoolExecutor(2) as threads:
      for _ in threads.map(read, parts):
        pass
    return len(order) / (time.perf_counter() - start)

  return epoch


def _cropped(images: PackedImages) -> Callable[[], float]:
  rng = np.random.default_rng(0)

  def read(part: np.ndarray) -> np.ndarray:
    seeds = rng.integers(2**64, size=len(part), dtype=np.uint64)
    return cropped(images, part, Crops(seeds, _CROP, 0.08))

  return _read(images, read)


def _decoded(images: PackedImages) -> Callable[[], float]:
  augment = jax.jit(Augmentation('resized_crop_flip', size=_CROP))
  key = jax.random.key(0)
  return _read(
    images, lambda part: augment(images[part], key).block_until_ready()
  )


def _torchvision(folder: Path) -> Callable[[], float]:
  import torch
  import torchvision

  transforms = torchvision.transforms
  dataset = torchvision.datasets.ImageFolder(
    folder / 'train',
    transforms.Compose(
      [
        transforms.RandomResizedCrop(_CROP),
        transforms.RandomHorizontalFlip(),
        transforms.PILToTensor(),
      ]
    ),
  )
  loader = torch.utils.data.DataLoader(
    dataset, _BATCH, shuffle=True, num_workers=2, persistent_workers=True
  )

  def epoch() -> float:
    start = time.perf_counter()
    for _ in loader:
      pass
    return len(dataset) / (time.perf_counter() - start)

  return epoch


def _tf_data(paths: list[str]) -> Callable[[], float]:
  import tensorflow as tf

  def crop(path):
    content = tf.io.read_file(path)
    begin, size, _ = tf.image.sample_distorted_bounding_box(
      tf.image.extract_jpeg_shape(content),
      tf.zeros((1, 0, 4)),
      area_range=(0.08, 1.0),
      min_object_covered=0.0,
      use_image_if_no_bounding_boxes=True,
    )
    window = tf.stack([begin[0], begin[1], size[0], size[1]])
    image = tf.image.decode_and_crop_jpeg(content, window, channels=3)
    image = tf.image.random_flip_left_right(image)
    return tf.cast(tf.image.resize(image, (_CROP, _CROP)), tf.uint8)

  options = tf.data.Options()
  options.threading.private_threadpool_size = 2
  dataset = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths))
  dataset = dataset.map(crop, 2).batch(_BATCH).prefetch(2)
  dataset = dataset.with_options(options)

  def epoch() -> float:
    start = time.perf_counter()
    for _ in dataset:
      pass
    return len(paths) / (time.perf_counter() - start)

  return epoch


def main() -> None:
  """Prints images per second of each, the median of the turns and its range."""
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument('--num_images', type=int, default=512)
  parser.add_argument('--repeats', type=int, default=5)
  options = parser.parse_args()
  with tempfile.TemporaryDirectory() as scratch:
    folder = Path(scratch) / 'photographs'
    paths = write_photographs(folder, options.num_images)
    images = _ours(folder)
    rates = timing.take_turns(
      {
        'ours, cut as it is decoded': _cropped(images),
        'ours, decoded to 256': _read(images, images.__getitem__),
        'ours, and cut on this CPU': _decoded(images),
        'torchvision': _torchvision(folder),
        'tf.data': _tf_data(paths),
      },
      options.repeats,
    )
  for name, values in rates.items():
    values = np.asarray(values, float)
    print(
      f'{name:32} {np.median(values):8.1f} images/s '
      f'({values.min():.1f} to {values.max():.1f})'
    )


if __name__ == '__main__':
  main()
