"""Data sets at full size, from files to the report: time and memory by stage.

    python -m benchmarks.full_size [--layout=cinic10|imagenet] [--folder=DIR]
      [--share=0.01] [--devices=8]

Makes as many small files as CINIC-10 (270,000 PNGs of 32x32) or ImageNet has
(1.33 million JPEGs of 40x32 in 1,000 classes, val/ flat), in the official
layout. Each stage then runs in a process of its own: reading or packing, the
same from the cache, training of a narrow simple_cnn (CINIC-10 an epoch,
ImageNet one step), scoring, inspecting, the audit, selecting, the report.
Memory is the peak of the largest process. DIR (CINIC-10 2 GB, ImageNet 8 GB) is
kept; a second start finds the files there.
"""

import argparse
import dataclasses
import io
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from datadiet.data.sources.cinic10 import CLASS_NAMES

_READ = """
import importlib, sys
from datadiet.data import load_dataset
config = importlib.import_module('datadiet.configs.' + sys.argv[1]).get_config()
for setting in sys.argv[2:]:
  name, _, value = setting.partition('=')
  setattr(config.dataset, name, int(value) if value.isdigit() else value)
print(load_dataset(config.dataset).description())
"""


def _stripes(label: int, height: int, width: int) -> np.ndarray:
  """What a class looks like: float64[height, width, 1]."""
  waves = 24 * np.sin(np.arange(height) * (label % 97 + 1) / 5)
  across = 24 * np.cos(np.arange(width) * (label // 97 + 1) / 5)
  return (128 + waves[:, None] + across)[..., None]


def _write_cinic10(folder: str, split: str, label: int, num: int) -> None:
  """Writes the images of one class: stripes of its own under noise."""
  rng = np.random.default_rng([*split.encode(), label])
  place = Path(folder, split, CLASS_NAMES[label])
  place.mkdir(parents=True, exist_ok=True)
  stripes = _stripes(label, 32, 32)
  for i in range(num):
    noise = rng.normal(0, 40, (32, 32, 3))
    image = (stripes + noise).clip(0, 255).astype(np.uint8) & 0xF0
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'PNG', compress_level=1)
    # A third is from CIFAR-10, as the names say.
    origin = 'cifar10-' + split if i % 3 == 0 else f'n0{label}'
    (place / f'{origin}-{i}.png').write_bytes(file.getvalue())


def _write_imagenet(folder: str, split: str, label: int, num: int) -> None:
  """As `_write_cinic10`; in val/ all classes lie side by side."""
  rng = np.random.default_rng([*split.encode(), label])
  synset = f'n{label:08d}'
  place = Path(folder, split, *([synset] if split == 'train' else []))
  place.mkdir(parents=True, exist_ok=True)
  stripes = _stripes(label, 32, 40)
  for i in range(num):
    noise = rng.normal(0, 40, (1, 40, 3)) + rng.normal(0, 40, (32, 1, 3))
    file = io.BytesIO()
    image = (stripes + noise).clip(0, 255).astype(np.uint8)
    Image.fromarray(image).save(file, 'JPEG', quality=75)
    name = f'{synset}_{i}' if split == 'train' else _val_stem(label, i, num)
    (place / f'{name}.JPEG').write_bytes(file.getvalue())


def _val_stem(label: int, i: int, num: int) -> str:
  return f'ILSVRC2012_val_{label * num + i + 1:08d}'


def _write_val_labels(folder: Path, num: int) -> None:
  """The file that says which class each image of val/ is of."""
  rows = ['ImageId,PredictionString']
  for label in range(1000):
    box = f'n{label:08d} 0 0 39 31'
    rows += [f'{_val_stem(label, i, num)},{box}' for i in range(num)]
  (folder / 'LOC_val_solution.csv').write_text('\n'.join(rows))


@dataclasses.dataclass(frozen=True)
class Layout:
  """A data set, made up.

  Attributes:
    config: the experiment that reads it.
    num_classes: of each split.
    num_a_class: images of a class by split.
    write: (folder, split, label, num) writes a class.
    settings: what is changed in the experiment.
    finish: (folder, images of a class by split) writes what is beside them.
  """

  config: str
  num_classes: int
  num_a_class: Mapping[str, int]
  write: Callable[[str, str, int, int], None]
  settings: Mapping[str, str]
  finish: Callable[[Path, Mapping[str, int]], None] = lambda *_: None


_SMALL = {
  'model.name': 'simple_cnn',
  'model.width': '8',
  'train.num_runs': '1',
  'train.schedule_steps': '0',
  'select.scores': 'el2n',
  'select.policies': 'keep_max,ccs',
  'retrain.num_steps': '0',
}
LAYOUTS = {
  'cinic10': Layout(
    'resnet18_cinic10',
    10,
    {'train': 9_000, 'valid': 9_000, 'test': 9_000},
    _write_cinic10,
    {
      **_SMALL,
      'train.num_epochs': '1',
      'score.steps': '()',
      'score.names': 'el2n,grand_last,forgetting,aum,input_norm',
    },
  ),
  'imagenet': Layout(
    'resnet50_imagenet',
    1_000,
    {'train': 1_281, 'val': 50},
    _write_imagenet,
    {
      **_SMALL,
      'dataset.image_size': '32',
      'dataset.crop_size': '28',
      'train.num_steps': '1',
      'score.steps': '(1,)',
      'score.names': 'el2n,grand_last,loss',
    },
    lambda folder, num: _write_val_labels(folder, num['val']),
  ),
}


def write_images(folder: Path, layout: Layout, share: float) -> int:
  """Writes the data set unless it is there; returns how many images it has."""
  nums = {
    split: max(1, round(share * num))
    for split, num in layout.num_a_class.items()
  }
  total = layout.num_classes * sum(nums.values())
  done = folder.parent / f'{folder.name}_{total}'
  if done.exists():
    return total
  jobs = [
    (str(folder), split, label, num)
    for split, num in nums.items()
    for label in range(layout.num_classes)
  ]
  # Not by fork: a process with threads of JAX may hang then.
  with multiprocessing.get_context('spawn').Pool() as pool:
    pool.starmap(layout.write, jobs)
  layout.finish(folder, nums)
  done.touch()
  return total


def measure(command: list[str], num_devices: int) -> tuple[float, float]:
  """Seconds, and the MiB of the largest process, of a Python program."""
  flag = f'--xla_force_host_platform_device_count={num_devices}'
  start = time.monotonic()
  with tempfile.TemporaryFile('w+') as output:
    process = subprocess.Popen(
      [sys.executable, *command],
      env={**os.environ, 'XLA_FLAGS': flag, 'JAX_PLATFORMS': 'cpu'},
      stdout=output,
      stderr=subprocess.STDOUT,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    output.seek(0)
    text = output.read()
  if process.returncode:
    raise RuntimeError(text[-3000:])
  return time.monotonic() - start, usage.ru_maxrss / 1024


def run(folder: Path, layout: Layout, share: float, num_devices: int) -> None:
  """Makes the data and prints a line for each stage."""
  data = folder / layout.config.rpartition('_')[2]
  data.mkdir(parents=True, exist_ok=True)
  results = Path(tempfile.mkdtemp(prefix='results_', dir=folder))
  start = time.monotonic()
  total = write_images(data, layout, share)
  name = f'{total:,} images written'
  print(f'{name:26s} {time.monotonic() - start:8.1f} s', flush=True)
  settings = {
    'dataset.data_dir': str(data),
    'dataset.cache_dir': str(results / 'cache'),
    **layout.settings,
  }
  command = [
    '-m',
    'datadiet.main',
    f'--config={layout.config}',
    f'--workdir={results / "workdir"}',
    *(f'--config.{name}={value}' for name, value in settings.items()),
  ]
  of_data = (
    f'{name.removeprefix("dataset.")}={value}'
    for name, value in settings.items()
    if name.startswith('dataset.')
  )
  read = ['-c', _READ, layout.config, *of_data]
  stages = {'read or packed': read, 'read from the cache': read} | {
    stage: [*command, f'--stages={stage}']
    for stage in ('train', 'score', 'inspect', 'audit', 'select', 'report')
  }
  for name, stage in stages.items():
    seconds, mib = measure(stage, num_devices)
    print(f'{name:26s} {seconds:8.1f} s {mib:8.0f} MiB', flush=True)


def main() -> None:
  """Parses the options and runs."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--layout', choices=LAYOUTS, default='cinic10')
  parser.add_argument('--share', type=float, default=1.0)
  parser.add_argument('--devices', type=int, default=8)
  parser.add_argument('--folder', type=Path)
  options = parser.parse_args()
  what = LAYOUTS[options.layout], options.share, options.devices
  if options.folder:
    run(options.folder.absolute(), *what)
    return
  with tempfile.TemporaryDirectory() as folder:
    run(Path(folder), *what)


if __name__ == '__main__':
  main()
