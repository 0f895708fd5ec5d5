"""Reading data: the first time, from the cache, and decoding JPEGs."""

import tempfile
import time
from argparse import Namespace

from benchmarks import decode, timing
from datadiet.configs import base
from datadiet.data import load_dataset


def rows(options: Namespace) -> list[timing.Row]:
  """Decode rates, and seconds to read CIFAR-10 if its directory is given."""
  num_images = 3_000 if options.quick else 20_000
  rates = [decode.measure(num_images, 32) for _ in range(options.repeats)]
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
