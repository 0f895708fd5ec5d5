"""Peak memory in use while something runs, and of every stage of a pipeline."""

import json
import os
import subprocess
import sys
import tempfile
from argparse import Namespace
from pathlib import Path

import jax

from benchmarks import timing

MIB = 2**20


class Peak:
  """Measures `bytes`, by which memory in use rose at most inside `with`.

  Device memory where the backend counts it (its peak cannot be set back: use a
  fresh process for each measurement), else resident memory of this process,
  which Linux counts (proc(5), VmHWM).
  """

  def __init__(self):
    self.bytes = 0
    self._start = 0

  def __enter__(self) -> 'Peak':
    if jax.local_devices()[0].memory_stats():
      self._start = jax.local_devices()[0].memory_stats()['bytes_in_use']
    else:
      with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')  # VmHWM starts again from VmRSS.
      self._start = _resident('VmRSS')
    return self

  def __exit__(self, *exception) -> None:
    stats = jax.local_devices()[0].memory_stats()
    end = stats['peak_bytes_in_use'] if stats else _resident('VmHWM')
    self.bytes = end - self._start


def _resident(field: str) -> int:
  with open('/proc/self/status') as file:
    for line in file:
      if line.startswith(field + ':'):
        return int(line.split()[1]) * 1024
  raise RuntimeError(f'/proc/self/status has no {field}.')


# Runs the command line and then prints the device's peak, 0 if it counts none.
_MAIN = """
import json, sys
from datadiet import main
try:
  main.main()
except SystemExit as end:
  import jax
  stats = jax.local_devices()[0].memory_stats() or {}
  print(json.dumps(stats.get('peak_bytes_in_use', 0)))
  sys.exit(end.code)
"""


def _measure(flags: list[str]) -> tuple[float, float]:
  """(host, device) peak MiB of one start of the program."""
  with tempfile.TemporaryFile('w+') as output:
    process = subprocess.Popen(
      [sys.executable, '-c', _MAIN, *flags],
      cwd=Path(__file__).resolve().parents[1],
      stdout=output,
      stderr=subprocess.STDOUT,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    output.seek(0)
    text = output.read()
  if process.returncode:
    raise RuntimeError(text[-3000:])
  return usage.ru_maxrss * 1024 / MIB, json.loads(text.splitlines()[-1]) / MIB


def rows(options: Namespace) -> list[timing.Row]:
  """Peak memory of each stage, each a process: host, and device if counted."""
  flags = ['--config=configs/cnn_digits.py']
  what = 'memory, digits demo'
  if options.data_dir and not options.quick:
    what = 'memory, CIFAR-10, small CNN'
    flags = [
      '--config=configs/simple_cnn_cifar10.py',
      f'--config.dataset.data_dir={options.data_dir}',
      '--config.train.num_runs=1',
      '--config.train.num_steps=40',
      '--config.train.schedule_steps=40',
      '--config.score.steps=(40,)',
      "--config.score.names=('el2n','forgetting','aum','grand_last')",
      '--config.select.fractions=(0.5,)',
      '--config.retrain.num_runs=1',
      '--config.retrain.num_steps=40',
    ]
  stages = ('train', 'score', 'select', 'retrain', 'report')
  if options.quick:  # Fewer programs to start.
    stages = ('train', 'score', 'select,retrain')
  found = []
  with tempfile.TemporaryDirectory() as folder:
    for stage in stages:
      host, device = _measure(
        [*flags, f'--workdir={folder}/workdir', f'--stages={stage}']
      )
      stage = stage.replace(',', ' and ')
      found.append(timing.Row(what, f'{stage}, host', 'MiB', (host,)))
      if device:
        found.append(timing.Row(what, f'{stage}, device', 'MiB', (device,)))
  return found
