"""One table of how fast datadiet is, beside what a user would pick instead.

    make bench                                  # all of it, with real data
    python -m benchmarks.bench --quick          # smaller networks, 5 minutes
    python -m benchmarks.bench --parts networks data --markdown table.md

Parts run one after the other, each in a process of its own; within a part,
peers take turns in one process. A figure is the median over repeats, without
the first; a ratio is the median of the ratios of each round. A part that fails
is named, the others go on, and the exit code is 1; a peer that fails is a row
that says why.
"""

import argparse
import datetime
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import timing

_EIGHT_CPU_DEVICES = {
  'JAX_PLATFORMS': 'cpu',
  'XLA_FLAGS': '--xla_force_host_platform_device_count=8',
}
# Where PyTorch or a process of the part's own computes on the same GPU.
_SHARED_DEVICE = {'XLA_PYTHON_CLIENT_PREALLOCATE': 'false'}
# Modules of this folder with `rows(options)`, and what their process needs.
PARTS = {
  'networks': _SHARED_DEVICE,
  'loop': _SHARED_DEVICE,
  'score': {},
  'data': {'JAX_PLATFORMS': 'cpu'},
  'startup': _SHARED_DEVICE,
  'checkpoint': {},
  'memory': _SHARED_DEVICE,
  'mesh': _EIGHT_CPU_DEVICES,
  'processes': {'JAX_PLATFORMS': 'cpu'},
  'cost': {},
}


def parse_flags() -> argparse.Namespace:
  """Command line flags, which the parts are given."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--quick', action='store_true', help='smaller sizes')
  parser.add_argument('--repeats', type=int, help='default: 3; quick: 2')
  parser.add_argument(
    '--seconds',
    type=float,
    default=float('inf'),
    help='of a part; after most of them nothing more is begun',
  )
  parser.add_argument(
    '--data_dir', default='', help='CIFAR-10 as a TFDS directory'
  )
  parser.add_argument('--parts', nargs='*', choices=PARTS, default=list(PARTS))
  parser.add_argument(
    '--dtypes',
    nargs='*',
    choices=('float32', 'bfloat16'),
    help='of networks; default: both, and float32 alone on a CPU',
  )
  parser.add_argument('--markdown', default='', help='file for the table')
  parser.add_argument('--json', default='', help='file for all figures')
  parser.add_argument('--part', default='', help=argparse.SUPPRESS)
  options = parser.parse_args()
  options.repeats = options.repeats or (2 if options.quick else 3)
  return options


def run_part(name: str, flags: list[str]) -> list[timing.Row] | None:
  """Measures one part in a process of its own; None if that failed."""
  with tempfile.TemporaryDirectory() as folder:
    file = Path(folder) / 'rows.json'
    command = [sys.executable, '-m', 'benchmarks.bench', *flags]
    start = time.monotonic()
    done = subprocess.run(
      [*command, f'--part={name}', f'--json={file}'],
      env={**os.environ, **PARTS[name]},
      check=False,
    )
    print(f'{name}: {time.monotonic() - start:.0f} s', file=sys.stderr)
    if done.returncode:
      return None
    rows = json.loads(file.read_text())['rows']
  rows = [timing.Row(**row) for row in rows]
  if all(row.failed for row in rows):
    print(timing.markdown(rows), file=sys.stderr)
    return None
  return rows


def where() -> str:
  """The machine in words, as another process sees it."""
  program = (
    'import jax, os; d = jax.devices(); '
    'print(f"{len(d)} {d[0].device_kind}, {os.cpu_count()} cores, '
    'jax {jax.__version__}")'
  )
  done = subprocess.run(
    [sys.executable, '-c', program], capture_output=True, text=True, check=True
  )
  return (
    f'{done.stdout.strip()}, {_processor()}, '
    f'Python {platform.python_version()}, '
    f'{datetime.date.today()}, commit {_commit()}'
  )


def _processor() -> str:
  """The CPU's name, as Linux has it."""
  try:
    lines = Path('/proc/cpuinfo').read_text().splitlines()
  except OSError:
    lines = []
  names = [line.split(':')[1] for line in lines if line[:10] == 'model name']
  return (names or [platform.machine()])[0].strip()


def _commit() -> str:
  try:
    done = subprocess.run(
      ['git', 'rev-parse', '--short', 'HEAD'],
      cwd=Path(__file__).parent,
      capture_output=True,
      text=True,
      check=False,
    )
  except OSError:  # There is no git.
    return 'unknown'
  return done.stdout.strip() or 'unknown'


def main() -> None:
  """Measures all parts and prints the table; or one part, as a child."""
  options = parse_flags()
  if options.part:
    module = importlib.import_module(f'benchmarks.{options.part}')
    Path(options.json).write_text(timing.as_json(module.rows(options)))
    return
  flags = [f'--repeats={options.repeats}', f'--data_dir={options.data_dir}']
  flags += [f'--seconds={options.seconds}']
  flags += ['--quick'] if options.quick else []
  flags += ['--dtypes', *options.dtypes] if options.dtypes else []
  rows, failed, load = [], [], timing.load()
  for name in options.parts:
    measured = run_part(name, flags)
    if measured is None:
      failed.append(name)
    rows += measured or []
  machine = f'{where()}; {load}'
  size = 'quick sizes' if options.quick else 'full sizes'
  table = f'{machine}; {size}\n\n{timing.markdown(rows)}'
  if failed:
    table += f'\nFailed, see above: {", ".join(failed)}\n'
  print(table)
  if options.markdown:
    Path(options.markdown).write_text(table)
  if options.json:
    about = {'where': machine, 'quick': options.quick, 'failed': failed}
    Path(options.json).write_text(timing.as_json(rows, **about))
  sys.exit(1 if failed else 0)


if __name__ == '__main__':
  main()
