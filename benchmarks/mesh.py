"""What the mesh costs: the training loop on 1, 2, 4 and 8 virtual devices."""

from argparse import Namespace

import jax
from absl import logging

from benchmarks import loop, timing


def rows(options: Namespace) -> list[timing.Row]:
  """Images per second in all; virtual devices share the cores of one.

  A ratio below 1 is overhead: of the mesh, of smaller pieces of a batch, and
  of cores that are shared by more threads.
  """
  logging.set_verbosity(logging.WARNING)
  batch_size, num_steps = 128, 10 if options.quick else 20
  dataset = loop.random_dataset(4 * batch_size)
  settings = loop.make_settings('simple_cnn', 0, batch_size, num_steps)
  devices, contenders = jax.devices('cpu'), {}
  images = num_steps * batch_size

  def add(name: str, num_runs: int, num_devices: int) -> None:
    run = loop.real_loop(dataset, settings, num_runs, devices[:num_devices])
    contenders[name] = lambda: num_runs * images / run(num_steps)

  add('1 device, 1 run', 1, 1)
  for number in (2, 4, 8):
    add(f'{number} devices, {number} runs', number, number)
    add(f'{number} devices, 1 run', 1, number)
  measured = timing.take_turns(contenders, options.repeats)
  against = dict.fromkeys(list(contenders)[1:], '1 device, 1 run')
  return timing.rows_of('mesh, small CNN', measured, 'images/s', against)
