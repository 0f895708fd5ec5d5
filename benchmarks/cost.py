"""How cost grows with the number of examples, classes and runs."""

import time
from argparse import Namespace

import numpy as np
from absl import logging

from benchmarks import loop, timing
from datadiet.data.dataset import Split, make_dataset
from datadiet.scoring import aggregate
from datadiet.selection import SelectionInputs, select_examples


def _dataset(num_examples: int, num_classes: int):
  """Images of 8x8 pixels, so that a million of them fit."""
  rng = np.random.default_rng(0)

  def split(name: str, size: int) -> Split:
    labels = np.arange(size) % num_classes
    return Split(
      rng.integers(0, 256, (size, 8, 8, 1), np.uint8),
      labels.astype(np.int32),
      np.char.add(f'{name}_', np.arange(size).astype(str)),
    )

  names = tuple(map(str, range(num_classes)))
  test = split('test', max(256, num_classes))
  return make_dataset('random', split('train', num_examples), test, names)


def _training(options: Namespace) -> list[timing.Row]:
  logging.set_verbosity(logging.WARNING)
  num_steps, batch_size = 50, 128
  settings = loop.make_settings(
    'simple_cnn', 8, batch_size, num_steps, augmentation='none'
  )
  most = 200_000 if options.quick else 1_000_000
  sizes = {
    '10,000 examples, 10 classes': (10_000, 10),
    f'{most:,} examples, 10 classes': (most, 10),
    '10,000 examples, 1,000 classes': (10_000, 1_000),
  }
  runs = {
    name: loop.real_loop(_dataset(*size), settings)
    for name, size in sizes.items()
  }
  images = num_steps * batch_size
  measured = timing.take_turns(
    {
      name: lambda run=run: images / run(num_steps)
      for name, run in runs.items()
    },
    options.repeats,
  )
  against = dict.fromkeys(list(sizes)[1:], '10,000 examples, 10 classes')
  return timing.rows_of('training, tiny CNN', measured, 'images/s', against)


def _seconds(function) -> float:
  start = time.perf_counter()
  function()
  return time.perf_counter() - start


def _after_scoring(options: Namespace) -> list[timing.Row]:
  """Means over runs and selections are numpy alone: N and runs up to a lot."""
  rng = np.random.default_rng(0)
  contenders = {}
  for num_examples in (50_000, 1_000_000):
    labels = rng.integers(0, 10, num_examples).astype(np.int32)
    scores = rng.random(num_examples, np.float32)
    inputs = SelectionInputs(labels, 10, scores, 'harder')
    for policy in ('keep_max', 'ccs'):
      contenders[f'{policy}, half of {num_examples:,}'] = (
        lambda policy=policy, inputs=inputs: _seconds(
          lambda: select_examples(
            policy, inputs, num_keep=inputs.num_examples // 2, seed=0
          )
        )
      )
    for num_runs in (2, 10):
      runs = rng.random((num_runs, num_examples), np.float32)
      contenders[f'mean of {num_runs} runs, {num_examples:,}'] = (
        lambda runs=runs: _seconds(
          lambda: aggregate.mean_and_spread(runs, name='el2n')
        )
      )
  measured = timing.take_turns(contenders, options.repeats)
  return timing.rows_of('after scoring', measured, 's')


def rows(options: Namespace) -> list[timing.Row]:
  """Training by N and classes; means and selections by N and runs."""
  return _training(options) + _after_scoring(options)
