"""CINIC-10 at full size, from PNGs to the report: time and memory by stage.

    python -m benchmarks.full_size [--examples=2000] [--folder=DIR]

Makes as many PNGs of 32x32 as CINIC-10 has, in the official layout; each stage
then runs in a process of its own, on eight virtual devices of this CPU:
reading, reading from the cache, one epoch of a narrow simple_cnn, scoring, the
audit, selecting, the report. Memory is the peak of the largest process. DIR
needs 2 GB and 270,000 files, and is kept; a second start finds the PNGs there.
"""

import argparse
import io
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from datadiet.data.sources.cinic10 import CLASS_NAMES

SPLITS = ('train', 'valid', 'test')
NUM_EXAMPLES = 270_000
NUM_DEVICES = 8
_READ = """
import sys
from datadiet.configs import resnet18_cinic10
from datadiet.data import load_dataset
settings = resnet18_cinic10.get_config().dataset
settings.data_dir, settings.cache_dir = sys.argv[1:]
print(load_dataset(settings).description())
"""
_SETTINGS = {
  'model.name': 'simple_cnn',
  'model.width': 8,
  'train.num_runs': 1,
  'train.num_epochs': 1,
  'train.schedule_steps': 0,
  'score.steps': '()',
  'score.names': 'el2n,grand_last,forgetting,aum,input_norm',
  'select.scores': 'el2n',
  'select.policies': 'keep_max,ccs',
  'retrain.num_steps': 0,
}


def _write_class(folder: str, split: int, label: int, num: int) -> None:
  """Writes the images of one class: stripes of its own under noise."""
  rng = np.random.default_rng([split, label])
  place = Path(folder, SPLITS[split], CLASS_NAMES[label])
  place.mkdir(parents=True, exist_ok=True)
  stripes = 24 * np.sin(np.arange(32) * (label + 1) / 5)[:, None, None]
  for i in range(num):
    noise = rng.normal(0, 40, (32, 32, 3))
    image = (128 + stripes + noise).clip(0, 255).astype(np.uint8) & 0xF0
    file = io.BytesIO()
    Image.fromarray(image).save(file, 'PNG', compress_level=1)
    # A third is from CIFAR-10, as the names say.
    origin = 'cifar10-' + SPLITS[split] if i % 3 == 0 else f'n0{label}'
    (place / f'{origin}-{i}.png').write_bytes(file.getvalue())


def write_images(folder: Path, num_examples: int) -> None:
  """Writes the data set unless it is there, evenly over splits and classes."""
  num = num_examples // (len(SPLITS) * len(CLASS_NAMES))
  done = folder / f'{num}_a_class'
  if done.exists():
    return
  jobs = [
    (str(folder), split, label, num)
    for split in range(len(SPLITS))
    for label in range(len(CLASS_NAMES))
  ]
  # Not by fork: a process with threads of JAX may hang then.
  with multiprocessing.get_context('spawn').Pool() as pool:
    pool.starmap(_write_class, jobs)
  done.touch()


def measure(command: list[str]) -> tuple[float, float]:
  """Seconds, and the MiB of the largest process, of a Python program."""
  flag = f'--xla_force_host_platform_device_count={NUM_DEVICES}'
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


def run(folder: Path, num_examples: int) -> None:
  """Makes the data and prints a line for each stage."""
  data = folder / 'CINIC-10'
  folder.mkdir(parents=True, exist_ok=True)
  results = Path(tempfile.mkdtemp(prefix='results_', dir=folder))
  cache = results / 'cache'
  start = time.monotonic()
  write_images(data, num_examples)
  print(f'{"PNGs written":22s} {time.monotonic() - start:8.1f} s', flush=True)
  read = ['-c', _READ, str(data), str(cache)]
  flags = [
    '--config=resnet18_cinic10',
    f'--workdir={results / "workdir"}',
    f'--config.dataset.data_dir={data}',
    f'--config.dataset.cache_dir={cache}',
    *(f'--config.{name}={value}' for name, value in _SETTINGS.items()),
  ]
  stages = {'read and decoded': read, 'read from the cache': read} | {
    stage: ['-m', 'datadiet.main', *flags, f'--stages={stage}']
    for stage in ('train', 'score', 'audit', 'select', 'report')
  }
  for name, command in stages.items():
    seconds, mib = measure(command)
    print(f'{name:22s} {seconds:8.1f} s {mib:8.0f} MiB', flush=True)


def main() -> None:
  """Parses the options and runs."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--examples', type=int, default=NUM_EXAMPLES)
  parser.add_argument('--folder', type=Path)
  options = parser.parse_args()
  if options.folder:
    run(options.folder.absolute(), options.examples)
    return
  with tempfile.TemporaryDirectory() as folder:
    run(Path(folder), options.examples)


if __name__ == '__main__':
  main()
