"""A profile of some training steps: how busy the device is, and with what.

    python -m benchmarks.trace --data CIFAR10_PARQUET [--batch_size 128] [...]

Trains with the project's own trainer, as the training loop calls it, measures
how fast it is, records some more steps by `jax.profiler`, and prints the share
of the time in which the device computed and the operations that took longest.
Needs no TensorFlow; the profile can also be opened in Perfetto or XProf.
"""

import argparse
import collections
import dataclasses
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import jax
import numpy as np
from etils import epath

from datadiet import config as config_lib
from datadiet.configs import resnet18_cifar10
from datadiet.data import load_dataset
from datadiet.feeding.epochs import AllExamples
from datadiet.runtime import compilation
from datadiet.runtime import mesh as mesh_lib
from datadiet.stages.context import training_plan
from datadiet.training.jobs import Job
from datadiet.training.trainer import Trainer

# Steps before those that are measured.
WARM_UP_STEPS = 20
# How many times as many steps as are recorded are measured on accelerators.
MEASURED = 10
# name, start and end in nanoseconds.
Event = tuple[str, float, float]


@dataclasses.dataclass(frozen=True)
class Recorded:
  """What was recorded.

  Attributes:
    num_steps: under the profiler.
    seconds: that they took.
    steps_per_second: before, without the profiler.
  """

  num_steps: int
  seconds: float
  steps_per_second: float


def device_events(
  profile: jax.profiler.ProfileData, is_host: bool
) -> list[Event]:
  """What the devices did: kernels of a GPU, XLA's operations elsewhere.

  Args:
    profile: of some steps.
    is_host: whether the device is the host's CPU.
  """
  planes = {plane.name: list(plane.lines) for plane in profile.planes}
  lines = [
    line
    for name, lines in planes.items()
    if name.startswith('/device:')
    for line in lines
  ]
  # A TPU's other lines, and a GPU's if it has more, say the same again.
  lines = [line for line in lines if line.name.startswith('Stream')] or [
    line for line in lines if line.name == 'XLA Ops'
  ]
  if is_host:
    lines = planes.get('/host:CPU', [])
  found = []
  for line in lines:
    for event in line.events:
      operation = dict(event.stats).get('hlo_op')
      if operation is None and is_host:
        continue
      name = str(operation or event.name)
      found.append((name, event.start_ns, event.start_ns + event.duration_ns))
  return found


def busy_share(events: Iterable[Event]) -> float:
  """Share of the time from the first event to the last with any going on."""
  spans = sorted((start, end) for _, start, end in events)
  if not spans:
    return 0.0
  first, reached = spans[0]
  busy = reached - first
  for start, end in spans[1:]:
    if end > reached:
      busy += end - max(start, reached)
      reached = end
  return busy / (reached - first) if reached > first else 0.0


def top_operations(
  events: Iterable[Event], num_rows: int
) -> list[tuple[str, int, float]]:
  """(name, number of calls, milliseconds in all), the longest first."""
  calls, total = collections.Counter(), collections.Counter()
  for name, start, end in events:
    calls[name] += 1
    total[name] += (end - start) / 1e6
  return [(name, calls[name], ms) for name, ms in total.most_common(num_rows)]


def record(config, num_steps: int, folder: str) -> Recorded:
  """Trains `num_steps` steps, or up to a whole call, under the profiler."""
  dataset = load_dataset(config.dataset)
  plan = training_plan(config, config.train.num_steps, ())
  run_mesh = mesh_lib.make_run_mesh(
    1, plan.train.batch_size, devices=jax.devices()[:1]
  )
  trainer = Trainer(dataset, plan, run_mesh)
  everything = np.arange(dataset.train.num_examples)
  jobs = [
    Job('trace', epath.Path(folder), 0, AllExamples(everything, seed=0, run=0))
  ]
  state = trainer.init(jobs)
  keys = trainer.step_keys(jobs)
  indices = trainer.index_blocks(jobs, 0)
  per_call = plan.steps_per_call

  def train(state, num_calls):
    for _ in range(num_calls):
      feed = trainer.make_feed([next(indices) for _ in range(per_call)])
      state = trainer.run_steps(state, feed, keys, per_call)
    return jax.block_until_ready(state)

  state = train(state, -(-WARM_UP_STEPS // per_call))
  num_calls = -(-num_steps // per_call)
  measured = num_calls * (1 if jax.default_backend() == 'cpu' else MEASURED)
  start = time.perf_counter()
  state = train(state, measured)
  rate = measured * per_call / (time.perf_counter() - start)
  with jax.profiler.trace(folder):
    start = time.perf_counter()
    train(state, num_calls)
    seconds = time.perf_counter() - start
  return Recorded(num_calls * per_call, seconds, rate)


def report(folder: str, recorded: Recorded, batch_size: int) -> str:
  """The tables to print.

  Args:
    folder: of the profile.
    recorded: what is in it.
    batch_size: examples a step.
  """
  path = max(Path(folder).rglob('*.xplane.pb'), key=os.path.getmtime)
  profile = jax.profiler.ProfileData.from_file(str(path))
  events = device_events(profile, jax.default_backend() == 'cpu')
  total = sum(end - start for _, start, end in events) / 1e6
  num_steps, seconds = recorded.num_steps, recorded.seconds
  busy = f'device busy {100 * busy_share(events):.1f} % of the time (asked: 90)'
  if not events:
    planes = ', '.join(plane.name for plane in profile.planes)
    busy = f'nothing of the device in the profile, which has: {planes}'
  lines = [
    f'{recorded.steps_per_second * batch_size:,.0f} images/s',
    '',
    f'{num_steps} steps of {batch_size} images in {1e3 * seconds:.1f} ms: '
    f'{num_steps * batch_size / seconds:,.0f} images/s under the profiler, '
    f'{busy}{_peak_memory()}',
    '',
    '| operation | calls | ms | share |',
    '| --- | ---: | ---: | ---: |',
  ]
  lines += [
    f'| {name} | {calls} | {ms:.2f} | {100 * ms / total:.1f} % |'
    for name, calls, ms in top_operations(events, 25)
  ]
  return '\n'.join(lines)


def _peak_memory() -> str:
  stats = jax.local_devices()[0].memory_stats()
  if not stats:
    return ''  # CPUs do not count it.
  return f', at most {stats["peak_bytes_in_use"] / 2**20:,.0f} MiB in use'


def main() -> None:
  """Trains, records and prints."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--data', required=True, help='a folder of Parquet')
  parser.add_argument('--model', default='resnet18_lowres')
  parser.add_argument('--width', type=int, default=0)
  parser.add_argument('--dtype', default='bfloat16')
  parser.add_argument('--batch_size', type=int, default=128)
  parser.add_argument('--num_steps', type=int, default=20)
  parser.add_argument('--output', default='', help='folder for the profile')
  parser.add_argument('--cache_dir', default='', help='of decoded images')
  parser.add_argument('--compilation_cache_dir', default='')
  options = parser.parse_args()
  config = resnet18_cifar10.get_config()
  config.dataset.name, config.dataset.data_dir = (
    'hugging_face',
    options.data,
  )
  config.dataset.cache_dir = options.cache_dir
  config.model.name, config.model.width = options.model, options.width
  config.model.dtype = options.dtype
  config.train.batch_size = options.batch_size
  # As benchmarks/gpu.sh trains, so that it is the same program, from the cache.
  config.train.schedule_steps = 0
  config_lib.check(config)
  compilation.enable_compilation_cache(options.compilation_cache_dir)
  with tempfile.TemporaryDirectory() as folder:
    folder = options.output or folder
    recorded = record(config_lib.resolve(config), options.num_steps, folder)
    print(report(folder, recorded, options.batch_size))


if __name__ == '__main__':
  main()
