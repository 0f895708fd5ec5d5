"""From the command to the end of the first training step, ResNet-18."""

import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from pathlib import Path

from benchmarks import timing
from datadiet.runtime.platform import platform_of


def _seconds(flags: list[str]) -> float:
  """Starts the program and kills it once its first step has ended."""
  # The loop waits for each step on CPU, elsewhere for the second last.
  until = 1 if platform_of() == 'cpu' else 3
  start = time.perf_counter()
  process = subprocess.Popen(
    [sys.executable, '-m', 'datadiet.main', '--verbosity=1', *flags],
    cwd=Path(__file__).resolve().parents[1],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.PIPE,
    text=True,
  )
  lines = []
  try:
    for line in process.stderr:
      lines.append(line)
      if 'Dispatched step ' in line and (until := until - 1) == 0:
        return time.perf_counter() - start
  finally:
    process.kill()
    process.wait()
  raise RuntimeError(''.join(lines[-50:]))


def rows(options: Namespace) -> list[timing.Row]:
  """Cold, and with the compilation cache; the data was read before."""
  flags = [
    '--config=configs/cnn_digits.py',
    '--config.model.name=resnet18_lowres',
  ]
  what = 'digits'
  if options.data_dir:
    what = 'CIFAR-10, batch 128'
    flags = [
      '--config=configs/resnet18_cifar10.py',
      f'--config.dataset.data_dir={options.data_dir}',
    ]
  flags += [
    f'--config.model.width={16 if options.quick else 64}',
    '--config.train.num_runs=1',
    '--stages=train',
  ]
  found = {'cold': [], 'with the compilation cache': []}
  with tempfile.TemporaryDirectory() as folder:
    flags.append(f'--config.dataset.cache_dir={folder}/data')
    # Reads the data, which is not what is measured here.
    _seconds([*flags, f'--workdir={folder}/w', '--config.model.width=4'])
    for number in range(1 if options.quick else options.repeats):
      cache = f'--config.compilation_cache_dir={folder}/xla_{number}'
      for kind, seconds in found.items():
        workdir = f'--workdir={folder}/{number}_{len(seconds)}_{kind[:4]}'
        seconds.append(_seconds([*flags, cache, workdir]))
  target = {'with the compilation cache': 'under 15 s'}
  return [
    timing.Row(
      'start-up',
      f'to the first step, {what}, {kind}',
      's',
      tuple(seconds),
      target=target.get(kind, ''),
    )
    for kind, seconds in found.items()
  ]
