"""One process with four devices against two with two, by launch/local.py."""

import os
import re
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

import numpy as np

from benchmarks import timing

_LOCAL = Path(__file__).resolve().parents[1] / 'launch' / 'local.py'


def _rate(num_processes: int, num_steps: int, cache: Path) -> float:
  """Images per second of four runs of the digits demo's network."""
  with tempfile.TemporaryDirectory() as folder:
    done = subprocess.run(
      [
        *(sys.executable, str(_LOCAL), f'--num_processes={num_processes}'),
        *(f'--devices_per_process={4 // num_processes}', '--'),
        *('--config=configs/cnn_digits.py', f'--workdir={folder}/workdir'),
        *('--stages=train', '--config.train.num_runs=4'),
        f'--config.train.num_steps={num_steps}',
        f'--config.train.schedule_steps={num_steps}',
        f'--config.train.checkpoint_every_steps={num_steps}',
        f'--config.train.eval_every_steps={num_steps}',
        f'--config.score.steps=({num_steps},)',
        f'--config.compilation_cache_dir={cache}',
      ],
      cwd=_LOCAL.parents[1],
      # As `pip install -e .` would, where that was not done.
      env={**os.environ, 'PYTHONPATH': str(_LOCAL.parents[1])},
      capture_output=True,
      text=True,
      check=False,
    )
  found = re.search(
    r'done in .*\(([\d.]+) images/s\)', done.stdout + done.stderr
  )
  if done.returncode or not found:
    raise RuntimeError((done.stdout + done.stderr)[-3000:])
  return float(found[1])


def rows(options: Namespace) -> list[timing.Row]:
  """Images per second, from the first step to the end, as each run logs it."""
  num_steps = 400 if options.quick else 1600
  with tempfile.TemporaryDirectory() as cache:
    contenders = {
      '1 process, 4 devices': lambda: _rate(1, num_steps, Path(cache)),
      '2 processes, 2 devices each': lambda: _rate(2, num_steps, Path(cache)),
    }
    if options.quick:  # Each start of three programs takes a quarter minute.
      measured = {name: np.array([rate()]) for name, rate in contenders.items()}
    else:
      measured = timing.take_turns(contenders, options.repeats)
  return timing.rows_of(
    'processes, 4 runs of digits',
    measured,
    'images/s',
    {'2 processes, 2 devices each': '1 process, 4 devices'},
  )
