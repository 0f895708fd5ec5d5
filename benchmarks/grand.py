"""GraNd beside the training step and the other ways to compute it.

    python -m benchmarks.grand [--model resnet18_lowres] [--batch_size 64]

All functions are compiled once and timed in turns in one process, so that a
noisy machine treats them alike; figures are medians, with the range. On CPU
everything is measured twice: as XLA lowers it by default, and with the CPU
option that this project compiles with. Prints one Markdown table for each.

  train_step   the project's own, batch norm in train mode, SGD with momentum
  grand        vmap(grad_norm(loss))
  vmap_grad    norms of vmap(grad(loss)), called on chunks that fit in memory
  jacrev       norms of jacrev of the per-example losses, the predecessor's way
  forward      logits in eval mode
  el2n         the same and the score
  all_forward  the same and all scores of a forward pass

Peak memory in the table is that of the compiled function: temporaries, inputs
and outputs. That of GraNd against the training step is also measured in use,
each in a process of its own.
"""

import argparse
import collections
import dataclasses
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks import memory
from datadiet.gradient_norms import grad_norm
from datadiet.models import make_model
from datadiet.runtime import compilation
from datadiet.runtime.randomness import run_key
from datadiet.scoring import engine, forward, registry
from datadiet.training.optimizer import OptimizerSettings, make_optimizer
from datadiet.training.state import TrainState, init_state
from datadiet.training.steps import make_train_step, step_keys

IMAGE_SHAPE = (32, 32, 3)
NUM_CLASSES = 10
MIB = 2**20


@dataclasses.dataclass
class Timed:
  """A compiled function, what it is called with, and its times in seconds."""

  compiled: Any
  inputs: tuple
  batch_size: int
  seconds: list[float] = dataclasses.field(default_factory=list)

  def run(self) -> None:
    """Calls it once and notes the time."""
    start = time.perf_counter()
    jax.block_until_ready(self.compiled(*self.inputs))
    self.seconds.append(time.perf_counter() - start)

  @property
  def images_per_second(self) -> np.ndarray:
    return self.batch_size / np.array(self.seconds)

  @property
  def peak_mib(self) -> float:
    return peak_bytes(self.compiled) / MIB


def peak_bytes(compiled: Any) -> int:
  """Bytes that a compiled function needs at once."""
  memory = compiled.memory_analysis()
  return (
    memory.temp_size_in_bytes
    + memory.argument_size_in_bytes
    + memory.output_size_in_bytes
    - memory.alias_size_in_bytes
  )


class Subject:
  """A network with random weights, and the functions to time."""

  def __init__(self, model_name: str, width: int, dtype: str):
    self.model = make_model(
      model_name, num_classes=NUM_CLASSES, width=width, dtype=dtype
    )
    self.tx = make_optimizer(OptimizerSettings(), horizon=78_000)
    key = run_key(0, 0, 0)
    self.state: TrainState = compilation.jit(self._init, run_once=True)(key)
    self.keys = step_keys(0, 0)

  def _init(self, key):
    return init_state(
      key,
      model=self.model,
      tx=self.tx,
      image_shape=IMAGE_SHAPE,
      num_examples=50_000,
    )

  def batch(self, batch_size: int) -> dict[str, jax.Array]:
    """Random images and labels."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (batch_size, *IMAGE_SHAPE), np.uint8)
    return {
      'image': jnp.asarray(pixels),
      'label': jnp.asarray(rng.integers(0, NUM_CLASSES, batch_size), jnp.int32),
      'example_index': jnp.arange(batch_size, dtype=jnp.int32),
    }

  def train_step(self) -> Callable:
    """The project's train step without augmentation."""
    return make_train_step(
      self.model,
      self.tx,
      mean=np.full(3, 0.5, np.float32),
      std=np.full(3, 0.25, np.float32),
      augmentation='none',
      crop_padding=0,
    )

  def logits(self, params: Any, images: jax.Array) -> jax.Array:
    """float32[batch, num_classes] in eval mode."""
    variables = {'params': params}
    if self.state.batch_stats:
      variables['batch_stats'] = self.state.batch_stats
    images = (images / 255.0 - 0.5) / 0.25
    return self.model.apply(variables, images, train=False)

  def losses(self, params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """float32[batch]."""
    logits = self.logits(params, batch['image'])
    return optax.softmax_cross_entropy_with_integer_labels(
      logits, batch['label']
    )

  def loss(self, params: Any, example: dict[str, jax.Array]) -> jax.Array:
    """float32[], of one example."""
    return self.losses(params, jax.tree.map(lambda x: x[None], example))[0]

  def grand(self, params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """float32[batch], by the transformation."""
    return jax.vmap(grad_norm(self.loss), (None, 0))(params, batch)

  def vmap_grad(self, params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """float32[batch], from per-example gradients."""

    def norm(example):
      return optax.global_norm(jax.grad(self.loss)(params, example))

    return jax.vmap(norm)(batch)

  def jacrev(self, params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """float32[batch], from the Jacobian of the losses."""
    leaves = jax.tree.leaves(jax.jacrev(self.losses)(params, batch))
    squares = [
      jnp.sum(jnp.square(leaf).reshape(leaf.shape[0], -1), axis=1)
      for leaf in leaves
    ]
    return jnp.sqrt(sum(squares))

  def forward(self, params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """The bare forward pass."""
    return self.logits(params, batch['image'])

  def el2n(self, params: Any, batch: dict[str, jax.Array]) -> jax.Array:
    """float32[batch], the project's own score."""
    outputs = forward.make_outputs(self.forward(params, batch), batch['label'])
    return registry.SCORES['el2n'].function(outputs)

  def all_forward(self, params: Any, batch: dict[str, jax.Array]) -> dict:
    """Every score of one forward pass, float32[batch] each."""
    images = (batch['image'] / 255.0 - 0.5) / 0.25
    variables = {'params': params, 'batch_stats': self.state.batch_stats}
    # With the input of the last layer, which grand_last needs.
    logits, features = engine.forward_pass(self.model, variables, images, True)
    outputs = forward.make_outputs(logits, batch['label'], features)
    return {
      name: registry.SCORES[name].function(outputs)
      for name in registry.of_kind(registry.SCORES, registry.FORWARD)
    }

  def compile(
    self, name: str, batch_size: int, options: dict[str, Any]
  ) -> Timed:
    """Compiles one function for one batch size."""
    batch = self.batch(batch_size)
    if name == 'train_step':
      function, inputs = self.train_step(), (self.state, batch, self.keys)
    else:
      # The rest of the state is not an input of the scores.
      function, inputs = getattr(self, name), (self.state.params, batch)
    lowered = jax.jit(function).lower(*inputs)
    compiled = lowered.compile(compiler_options=options)
    return Timed(compiled, inputs, batch_size)


def measure(subject: Subject, flags: Any, options: dict[str, Any]) -> dict:
  """Times all functions in turns under one set of compiler options."""
  sizes = {
    'train_step': flags.batch_size,
    'grand': flags.batch_size,
    # One call a chunk: inside a loop XLA's convolutions are far slower on CPU.
    'vmap_grad': flags.chunk,
    'jacrev': flags.jacrev_batch_size,
    'forward': flags.batch_size,
    'el2n': flags.batch_size,
    'all_forward': flags.batch_size,
  }
  timed = {
    name: subject.compile(name, size, options)
    for name, size in sizes.items()
    if name not in flags.skip
  }
  for _ in range(flags.repeats + 1):
    for function in timed.values():
      function.run()
  rates, rows = collections.OrderedDict(), []
  for name, function in timed.items():
    function.seconds = function.seconds[1:]  # The first call warms up.
    rates[name] = function.images_per_second
    rows.append(
      {
        'function': name,
        'batch_size': function.batch_size,
        'images_per_second': float(np.median(rates[name])),
        'slowest': float(rates[name].min()),
        'fastest': float(rates[name].max()),
        'peak_mib': function.peak_mib,
      }
    )
  pairs = [
    ('grand', 'train_step'),
    ('grand', 'vmap_grad'),
    ('grand', 'jacrev'),
    ('el2n', 'forward'),
    ('all_forward', 'forward'),
  ]
  ratios = {
    # Round by round, so that both sides saw the machine in the same state.
    f'{a} / {b}': float(np.median(rates[a] / rates[b]))
    for a, b in pairs
    if a in rates and b in rates
  }
  if flags.memory_batch_size:
    at = f'at batch {flags.memory_batch_size}, grand / train_step'
    names = ('grand', 'train_step')
    compiled, used = zip(*(_memory_of(name, flags, options) for name in names))
    ratios[f'compiled peak memory {at}'] = compiled[0] / compiled[1]
    ratios[f'measured peak memory {at}'] = used[0] / used[1]
  return {'rows': rows, 'ratios': ratios}


def _memory_of(name: str, flags: Any, options: dict) -> tuple[float, float]:
  """(compiled, measured) peak MiB of one function, in a process of its own."""
  command = [
    *(sys.executable, '-m', 'benchmarks.grand', f'--memory_of={name}'),
    *(f'--model={flags.model}', f'--width={flags.width}'),
    *(f'--dtype={flags.dtype}', f'--batch_size={flags.memory_batch_size}'),
    f'--compiler_options={json.dumps(options)}',
  ]
  done = subprocess.run(command, check=True, capture_output=True, text=True)
  return tuple(json.loads(done.stdout.splitlines()[-1]))


def print_memory_of(flags: Any) -> None:
  """Prints what _memory_of reads."""
  subject = Subject(flags.model, flags.width, flags.dtype)
  options = json.loads(flags.compiler_options)
  timed = subject.compile(flags.memory_of, flags.batch_size, options)
  with memory.Peak() as peak:
    for _ in range(2):
      timed.run()
  print(json.dumps([timed.peak_mib, peak.bytes / MIB]))


def markdown(title: str, result: dict) -> str:
  """A table of the figures and one of the ratios."""
  lines = [
    f'### {title}',
    '',
    '| function | batch | images/s | slowest to fastest | peak MiB |',
    '| --- | ---: | ---: | ---: | ---: |',
  ]
  for row in result['rows']:
    lines.append(
      f'| {row["function"]} | {row["batch_size"]} '
      f'| {row["images_per_second"]:.1f} '
      f'| {row["slowest"]:.1f} to {row["fastest"]:.1f} '
      f'| {row["peak_mib"]:.0f} |'
    )
  lines += ['', '| ratio | |', '| --- | ---: |']
  lines += [f'| {k} | {v:.2f} |' for k, v in result['ratios'].items()]
  return '\n'.join(lines) + '\n'


def parse_flags() -> argparse.Namespace:
  """Command line flags."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--model', default='resnet18_lowres')
  parser.add_argument('--width', type=int, default=64)
  parser.add_argument('--dtype', default='float32')
  parser.add_argument('--batch_size', type=int, default=64)
  parser.add_argument('--chunk', type=int, default=16, help='of vmap_grad')
  parser.add_argument('--jacrev_batch_size', type=int, default=16)
  parser.add_argument('--memory_batch_size', type=int, default=256)
  parser.add_argument('--repeats', type=int, default=5)
  parser.add_argument('--only_cpu_option', action='store_true')
  parser.add_argument('--skip', nargs='*', default=[])
  parser.add_argument('--memory_of', default='', help=argparse.SUPPRESS)
  parser.add_argument('--compiler_options', help=argparse.SUPPRESS)
  parser.add_argument('--json', default='', help='file for the figures')
  return parser.parse_args()


def main() -> None:
  """Measures, prints and, if asked, writes the figures."""
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
  device = jax.devices()[0]
  where = f'{device.device_kind}, jax {jax.__version__}, {platform.machine()}'
  results = {}
  for name, options in settings.items():
    results[name] = measure(subject, flags, options)
    title = f'{flags.model}, width {flags.width}, {flags.dtype}, {name}'
    print(markdown(f'{title} ({where})', results[name]), flush=True)
  if flags.json:
    with open(flags.json, 'w') as file:
      json.dump({'where': where, **vars(flags), 'results': results}, file)


if __name__ == '__main__':
  main()
