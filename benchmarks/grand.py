"""GraNd beside the training step and the other ways to compute it.

    python -m benchmarks.grand [--model resnet18_lowres] [--batch_size 64]

Times the functions of benchmarks.subject in turns. On CPU everything is
measured twice: as XLA lowers it by default, and with the CPU option that this
project compiles with. Peak memory of GraNd against that of the training step is
what the compiler counts, and what is measured in use, each in a process of its
own.
"""

import argparse
import functools
import json
import os
import subprocess
import sys

from benchmarks import bench, memory, timing
from benchmarks.subject import JACREV_BATCH, Subject
from datadiet.runtime import compilation

_AGAINST = {
  'grand': 'train_step',
  'vmap_grad': 'grand',
  'jacrev': 'grand',
  'el2n': 'forward',
  'all_forward': 'forward',
}


def measure(
  subject: Subject, flags: argparse.Namespace, option: str, options: dict
) -> list[timing.Row]:
  """Times all functions in turns under one set of compiler options."""
  # One call a chunk: inside a loop XLA's convolutions are far slower on CPU.
  sizes = {'vmap_grad': flags.chunk, 'jacrev': JACREV_BATCH}
  names = ('train_step', 'grand', 'vmap_grad', 'jacrev')
  contenders = {
    name: subject.compile(name, sizes.get(name, flags.batch_size), options)
    for name in (*names, 'forward', 'el2n', 'all_forward')
    if name not in flags.skip
  }
  part = f'{flags.model}, width {flags.width}, {flags.dtype}, {option}'
  measured = timing.take_turns(contenders, flags.repeats)
  rows = timing.rows_of(part, measured, 'images/s', _AGAINST)
  if flags.memory_batch_size:
    rows += _memory(flags, part, options)
  return rows


def _memory(
  flags: argparse.Namespace, part: str, options: dict
) -> list[timing.Row]:
  """Peak memory of both functions in MiB, each in a process of its own."""
  found = {}
  for name in ('train_step', 'grand'):
    command = [
      *(sys.executable, '-m', 'benchmarks.grand', f'--memory_of={name}'),
      *(f'--model={flags.model}', f'--width={flags.width}'),
      *(f'--dtype={flags.dtype}', f'--batch_size={flags.memory_batch_size}'),
      f'--compiler_options={json.dumps(options)}',
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found[name] = json.loads(done.stdout.splitlines()[-1])
  return [
    timing.Row(
      f'{part}, batch {flags.memory_batch_size}',
      f'{name}, {how} peak memory',
      'MiB',
      (found[name][i],),
      **against,
    )
    for i, how in enumerate(('compiled', 'measured'))
    for name, against in (
      ('train_step', {}),
      (
        'grand',
        {
          'against': f'train_step, {how} peak memory',
          'ratios': (found['grand'][i] / found['train_step'][i],),
        },
      ),
    )
  ]


def print_memory_of(flags: argparse.Namespace) -> None:
  """Prints what `_memory` reads."""
  subject = Subject(flags.model, flags.width, flags.dtype)
  options = json.loads(flags.compiler_options)
  call = subject.compile(flags.memory_of, flags.batch_size, options)
  with memory.Peak() as peak:
    for _ in range(2):
      call()
  print(json.dumps([call.peak_bytes / memory.MIB, peak.bytes / memory.MIB]))


def parse_flags() -> argparse.Namespace:
  """Command line flags."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  add = functools.partial(parser.add_argument, type=int)
  parser.add_argument('--model', default='resnet18_lowres')
  add('--width', default=64)
  parser.add_argument('--dtype', default='float32')
  add('--batch_size', default=64)
  add('--chunk', default=16, help='of vmap_grad')
  add('--memory_batch_size', default=256, help='0 for no memory')
  add('--repeats', default=5)
  parser.add_argument('--only_cpu_option', action='store_true')
  parser.add_argument('--skip', nargs='*', default=[])
  parser.add_argument('--memory_of', default='', help=argparse.SUPPRESS)
  parser.add_argument('--compiler_options', help=argparse.SUPPRESS)
  return parser.parse_args()


def main() -> None:
  """Measures and prints."""
  flags = parse_flags()
  # Children measure memory of the same GPU.
  os.environ.setdefault('XLA_PYTHON_CLIENT_PREALLOCATE', 'false')
  if flags.memory_of:
    print_memory_of(flags)
    return
  subject = Subject(flags.model, flags.width, flags.dtype)
  settings = {'XLA defaults': {}}
  if compilation.compiler_options():
    settings['with the CPU option'] = compilation.compiler_options()
    if flags.only_cpu_option:
      del settings['XLA defaults']
  rows = []
  for option, options in settings.items():
    rows += measure(subject, flags, option, options)
  print(f'{bench.where()}; {timing.load()}\n\n{timing.markdown(rows)}')


if __name__ == '__main__':
  main()
