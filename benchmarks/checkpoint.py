"""How long a checkpoint holds up training, and how long it takes in all."""

import tempfile
import time
from argparse import Namespace

import jax
import numpy as np

from benchmarks import loop, timing
from datadiet.configs import base
from datadiet.feeding.epochs import AllExamples
from datadiet.runtime import mesh as mesh_lib
from datadiet.training.jobs import Job
from datadiet.training.trainer import Trainer
from datadiet.workdir import checkpoints


def rows(options: Namespace) -> list[timing.Row]:
  """Stall and writing of one ResNet-18 run with 50,000 examples' dynamics.

  The share of training time is the stall over the default interval at the rate
  of the bare step, measured beside it.
  """
  width = 16 if options.quick else 64
  batch_size = 128
  settings = loop.make_settings('resnet18_lowres', width, batch_size, 2)
  dataset = loop.random_dataset(50_000)
  trainer = Trainer(
    dataset,
    settings,
    mesh_lib.make_run_mesh(1, batch_size, devices=jax.devices()[:1]),
  )
  with tempfile.TemporaryDirectory() as folder:
    everything = np.arange(dataset.train.num_examples)
    job = Job('bench', folder, 0, AllExamples(everything, seed=0, run=0))
    state = jax.block_until_ready(trainer.init([job]))
    stalls, writes = [], []
    writer = checkpoints.CheckpointWriter(folder, ())
    for step in range(options.repeats + 1):
      start = time.perf_counter()
      writer.save(step, mesh_lib.slot_to_host(state, 0))
      stalls.append(time.perf_counter() - start)
      writer.wait()
      writes.append(time.perf_counter() - start)
    writer.close()
  step_seconds = loop.bare_step(dataset, settings)(2) / 2
  interval = base.get_config().train.checkpoint_every_steps
  shares = [100 * s / (interval * step_seconds) for s in stalls[1:]]
  part = f'checkpoint, ResNet-18, width {width}'
  return [
    timing.Row(part, 'training held up', 's', tuple(stalls[1:])),
    timing.Row(part, 'until committed', 's', tuple(writes[1:])),
    timing.Row(
      part,
      f'share of training time, one each {interval:,} steps',
      '%',
      tuple(shares),
      target='under 1 %',
    ),
  ]
