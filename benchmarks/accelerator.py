"""What a GPU or TPU makes of the program: rates, how busy it is, agreement.

    python -m benchmarks.accelerator [--batch_sizes 128 512] [--markdown FILE]

Trains a network with the project's own trainer, in each type and batch size,
and scores it by EL2N and GraNd in each precision, on random images of CIFAR's
shape: rates do not depend on what is in them. Prints images/s, the share of the
time in which the device computed (by `jax.profiler`), its peak memory, how well
scores of other precisions agree with those in float32, and the operations that
took longest. Needs neither data nor TensorFlow, and runs on a CPU too. What it
is beside PyTorch, `python -m benchmarks.bench` measures.
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
from scipy import stats

from benchmarks import bench, loop, timing
from datadiet.data.dataset import Dataset
from datadiet.feeding.epochs import AllExamples
from datadiet.models.settings import ModelSettings, make_network
from datadiet.runtime import compilation
from datadiet.runtime.mesh import flat_mesh, make_run_mesh
from datadiet.scoring.engine import ScoringEngine
from datadiet.scoring.precision import PRECISIONS
from datadiet.training.jobs import Job
from datadiet.training.optimizer import OptimizerSettings
from datadiet.training.plan import TrainingPlan
from datadiet.training.settings import TrainSettings
from datadiet.training.trainer import Trainer

SCORES = ('el2n', 'grand')
# Steps before those that are measured.
_WARM_UP_STEPS = 20
# name, start and end in nanoseconds.
Event = tuple[str, float, float]


@dataclasses.dataclass(frozen=True)
class Trained:
  """What some training steps were like.

  Attributes:
    images_per_second: without the profiler.
    events: of the device, under it.
    variables: {'params': ..., 'batch_stats': ...} after them.
  """

  images_per_second: float
  events: list[Event]
  variables: dict


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


def train(
  dataset: Dataset, model: ModelSettings, batch_size: int, num_steps: int
) -> Trained:
  """Trains some steps to warm up, some to time, and some under the profiler."""
  settings = TrainSettings(batch_size=batch_size, eval_batch_size=batch_size)
  plan = TrainingPlan(model, OptimizerSettings(), settings, 10 * num_steps)
  run_mesh = make_run_mesh(1, batch_size, devices=jax.devices()[:1])
  trainer = Trainer(dataset, plan, run_mesh)
  everything = np.arange(dataset.train.num_examples)
  epochs = AllExamples(everything, seed=0, run=0)
  jobs = [Job('benchmark', epath.Path('.'), 0, epochs)]
  state, keys = trainer.init(jobs), trainer.step_keys(jobs)
  indices = trainer.index_blocks(jobs, 0)
  per_call = plan.steps_per_call

  def run(state, num_calls):
    for _ in range(num_calls):
      feed = trainer.make_feed([next(indices) for _ in range(per_call)])
      state = trainer.run_steps(state, feed, keys, per_call)
    return jax.block_until_ready(state)

  num_calls = -(-num_steps // per_call)
  state = run(state, -(-_WARM_UP_STEPS // per_call))
  start = time.perf_counter()
  state = run(state, num_calls)
  seconds = time.perf_counter() - start
  with tempfile.TemporaryDirectory() as folder:
    with jax.profiler.trace(folder):
      state = run(state, num_calls)
    path = max(Path(folder).rglob('*.xplane.pb'), key=os.path.getmtime)
    profile = jax.profiler.ProfileData.from_file(str(path))
  variables = {
    name: jax.tree.map(lambda leaf: np.asarray(leaf[0]), getattr(state, name))
    for name in ('params', 'batch_stats')
  }
  return Trained(
    num_calls * per_call * batch_size / seconds,
    device_events(profile, run_mesh.platform == 'cpu'),
    variables,
  )


def score(
  dataset: Dataset,
  model: ModelSettings,
  variables: dict,
  name: str,
  precision: str,
  chunk_size: int,
) -> tuple[float, float, np.ndarray]:
  """Images per second, MiB of temporaries and the scores, float32[N]."""
  engine = ScoringEngine(
    dataset.train,
    make_network(model, dataset.num_classes, PRECISIONS[precision].dtype),
    (name,),
    mean=dataset.mean,
    std=dataset.std,
    chunk_size=chunk_size,
    mesh=flat_mesh(jax.devices()[:1]),
    precision=precision,
  )
  temporary = engine.temporary_bytes(variables) / 2**20
  engine.score(variables)  # Compiles.
  start = time.perf_counter()
  scores = engine.score(variables)[name]
  seconds = time.perf_counter() - start
  return dataset.train.num_examples / seconds, temporary, scores


def shared_top(first: np.ndarray, second: np.ndarray, share: float) -> float:
  """Share of the top `share` of the first scores that the second has too."""
  num_top = max(1, round(share * len(first)))
  tops = [set(np.argsort(-s, kind='stable')[:num_top]) for s in (first, second)]
  return len(tops[0] & tops[1]) / num_top


def compare(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
  """The figures of two score arrays, float32[N] each."""
  return {
    'spearman': float(stats.spearmanr(first, second).statistic),
    'difference': float(np.abs(first - second).max() / np.abs(first).mean()),
    'shared_half': shared_top(first, second, 0.5),
    'shared_tenth': shared_top(first, second, 0.1),
  }


def _peak_memory() -> str:
  memory = jax.local_devices()[0].memory_stats()
  if not memory:
    return 'not counted'  # On CPUs.
  return f'{memory["peak_bytes_in_use"] / 2**20:,.0f}'


def report(options: argparse.Namespace) -> str:
  """Measures everything that was asked for; the tables as Markdown."""
  dataset = loop.random_dataset(options.num_images)
  lines = [
    f'{bench.where()}; {timing.load()}',
    '',
    '| training | images/s | device busy | peak memory so far, MiB |',
    '| --- | ---: | ---: | ---: |',
  ]
  trained = None
  for dtype in options.dtypes:
    model = ModelSettings(options.model, options.width, dtype=dtype)
    for batch_size in options.batch_sizes:
      trained = train(dataset, model, batch_size, options.num_steps)
      lines.append(
        f'| {options.model}, {dtype}, batch {batch_size} | '
        f'{trained.images_per_second:,.0f} | '
        f'{100 * busy_share(trained.events):.1f} % | {_peak_memory()} |'
      )
  lines += [
    '',
    '| score | images/s | temporaries, MiB | Spearman with the first | largest '
    'difference | same half | same tenth |',
    '| --- | ---: | ---: | ---: | ---: | ---: | ---: |',
  ]
  for name in SCORES:
    first = None
    for precision in options.precisions:
      rate, temporary, scores = score(
        dataset, model, trained.variables, name, precision, options.chunk_size
      )
      first = scores if first is None else first
      found = compare(first, scores)
      lines.append(
        f'| {name}, {precision} | {rate:,.0f} | {temporary:,.0f} | '
        f'{found["spearman"]:.5f} | {found["difference"]:.1e} | '
        f'{found["shared_half"]:.4f} | {found["shared_tenth"]:.4f} |'
      )
  total = sum(end - start for _, start, end in trained.events) / 1e6
  lines += [
    '',
    f'| operation of the last training, {options.num_steps} steps | calls | ms '
    '| share |',
    '| --- | ---: | ---: | ---: |',
    *(
      f'| {name} | {calls} | {ms:.2f} | {100 * ms / total:.1f} % |'
      for name, calls, ms in top_operations(trained.events, 20)
    ),
  ]
  return '\n'.join(lines) + '\n'


def parse_flags(argv: list[str] | None = None) -> argparse.Namespace:
  """The command line's flags; of this process's if `argv` is None."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--model', default='resnet18_lowres')
  parser.add_argument('--width', type=int, default=0)
  parser.add_argument('--num_images', type=int, default=50_000)
  parser.add_argument('--num_steps', type=int, default=200)
  parser.add_argument('--batch_sizes', nargs='+', type=int, default=[128, 512])
  parser.add_argument('--dtypes', nargs='+', default=['float32', 'bfloat16'])
  parser.add_argument(
    '--precisions', nargs='+', default=['float32', 'tensorfloat32', 'bfloat16']
  )
  parser.add_argument('--chunk_size', type=int, default=1024)
  parser.add_argument('--markdown', default='', help='file for the tables')
  return parser.parse_args(argv)


def main() -> None:
  """Measures, prints, and writes where asked to."""
  options = parse_flags()
  compilation.enable_compilation_cache()
  tables = report(options)
  print(tables)
  if options.markdown:
    Path(options.markdown).write_text(tables)


if __name__ == '__main__':
  main()
