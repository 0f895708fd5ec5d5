"""What ships scores with, the engine, beside a bare forward pass and step.

The engine places the data, gathers chunks, brings the scores back and keeps
them; here it goes through eight chunks of ResNet-18. It computes in its default
precision, float32 that accelerators are kept from rounding, and so does what it
is measured against; on accelerators that is there once more as it trains.
"""

import functools
import time
from argparse import Namespace
from collections.abc import Callable

import jax

from benchmarks import loop, timing
from benchmarks.subject import Subject
from datadiet.runtime import compilation
from datadiet.runtime.mesh import flat_mesh
from datadiet.scoring.engine import ScoringEngine
from datadiet.scoring.precision import PRECISIONS, usual_precision

NUM_CHUNKS = 8
_FORWARD, _STEP = 'bare forward pass', 'datadiet train step'
_EL2N, _GRAND = 'engine, el2n', 'engine, grand'


def _engine(subject: Subject, name: str, chunk_size: int) -> Callable:
  """A contender that scores all chunks."""
  dataset = loop.random_dataset(NUM_CHUNKS * chunk_size)
  engine = ScoringEngine(
    dataset.train,
    subject.model,
    (name,),
    mean=dataset.mean,
    std=dataset.std,
    chunk_size=chunk_size,
    mesh=flat_mesh(jax.devices()[:1]),
  )

  def call() -> float:
    start = time.perf_counter()
    engine.score(subject.variables)
    return dataset.train.num_examples / (time.perf_counter() - start)

  return call


def _bare(subject: Subject, name: str, batch_size: int, products: str):
  """A contender that calls a function on one batch as often."""
  with jax.default_matmul_precision(products):
    timed = subject.compile(name, batch_size, compilation.compiler_options())

  def call() -> float:
    start = time.perf_counter()
    for _ in range(NUM_CHUNKS):
      outputs = timed.compiled(*timed.inputs)
    jax.block_until_ready(outputs)
    return NUM_CHUNKS * batch_size / (time.perf_counter() - start)

  return call


def rows(options: Namespace) -> list[timing.Row]:
  """Images per second, in turns."""
  on_cpu = flat_mesh().platform == 'cpu'
  width = 16 if options.quick else 64
  batch_size = (32 if options.quick else 64) if on_cpu else 512
  products = PRECISIONS[usual_precision(flat_mesh().platform)].products
  subject = functools.cache(
    lambda dtype: Subject('resnet18_lowres', width, dtype)
  )
  float32 = functools.partial(subject, 'float32')
  builders = {
    _FORWARD: lambda: _bare(float32(), 'forward', batch_size, products),
    _EL2N: lambda: _engine(float32(), 'el2n', batch_size),
    _STEP: lambda: _bare(float32(), 'train_step', batch_size, products),
    _GRAND: lambda: _engine(float32(), 'grand', batch_size),
  }
  against = {_EL2N: _FORWARD, _GRAND: _STEP}
  target = {
    _EL2N: 'at least 0.97',
    _GRAND: 'at least 0.9 on CPU, 1.2 on a GPU',
  }
  if not on_cpu:
    for name, function in ((_FORWARD, 'forward'), (_STEP, 'train_step')):
      rounded = f'{name}, bfloat16'
      builders[rounded] = functools.partial(
        lambda function: _bare(subject('bfloat16'), function, batch_size, None),
        function,
      )
      against[rounded] = {_FORWARD: _EL2N, _STEP: _GRAND}[name]
  contenders = {
    name: timing.built_late(build) for name, build in builders.items()
  }
  return timing.rows_of(
    f'scoring by the program, ResNet-18, width {width}, '
    f'{NUM_CHUNKS} chunks of {batch_size}, float32',
    timing.take_turns(contenders, options.repeats, options.seconds),
    'images/s',
    against,
    target,
  )
