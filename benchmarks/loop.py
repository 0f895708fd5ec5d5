"""The training loop against the bare jitted step, in one process.

Both train ResNet-18 on batches of the same shapes, in turns. The loop is the
real one, `train_jobs`, with its order, gathers, log points and writers, but no
evaluation in between; the bare step gets one batch that is already on the
device. Also without augmentation, and beside the compiled step of PyTorch in
the same type.
"""

import contextlib
import dataclasses
import functools
import tempfile
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
from absl import logging
from etils import epath

from benchmarks import timing
from datadiet import config as config_lib
from datadiet.configs import resnet18_cifar10
from datadiet.data.dataset import Dataset, Split, make_dataset
from datadiet.feeding.epochs import AllExamples
from datadiet.models.settings import make_network
from datadiet.runtime import compilation
from datadiet.runtime import mesh as mesh_lib
from datadiet.runtime.platform import platform_of
from datadiet.runtime.randomness import run_key
from datadiet.stages.context import training_plan
from datadiet.stages.opening import choose_dtypes
from datadiet.training import loop
from datadiet.training.dynamics import DynamicsSettings
from datadiet.training.jobs import Job
from datadiet.training.optimizer import OptimizerSettings, make_optimizer
from datadiet.training.plan import TrainingPlan
from datadiet.training.settings import augmentation_of
from datadiet.training.state import init_state
from datadiet.training.steps import make_train_step, step_keys

# Steps at the start of a measurement of the bare step that are not counted.
WARM_UP_STEPS = 3
# Calls at the start of the loop that are not counted: it waits for the first
# four, and then for the one two before; the last of these are as all later.
WARM_UP_CALLS = 8
_LOOP, _BARE = 'training loop', 'bare jitted step'
_PLAIN = 'bare jitted step without augmentation'
_TORCH = 'PyTorch train step, channels_last, compiled'


def random_dataset(num_examples: int, image_size: int = 32) -> Dataset:
  """Random images of CIFAR's shape in ten classes."""
  rng = np.random.default_rng(0)

  def split(name: str, size: int) -> Split:
    shape = (size, image_size, image_size, 3)
    return Split(
      rng.integers(0, 256, shape, np.uint8),
      rng.integers(0, 10, size).astype(np.int32),
      np.array([f'{name}_{i}' for i in range(size)]),
    )

  names = tuple(map(str, range(10)))
  return make_dataset(
    'random', split('train', num_examples), split('test', 256), names
  )


def bare_step(dataset: Dataset, plan: TrainingPlan):
  """A function that trains a number of steps and says the seconds it took."""
  model = make_network(plan.model, dataset.num_classes)
  tx = make_optimizer(plan.optimizer, plan.train.schedule_steps)
  step = compilation.jit(
    make_train_step(
      model,
      tx,
      mean=dataset.mean,
      std=dataset.std,
      augmentation=augmentation_of(plan.train, dataset.train.crop_size),
    ),
    donate_argnums=0,
  )
  keys = step_keys(0, 0)
  # Compiled as one: each operation on its own takes far longer.
  state = compilation.jit(
    functools.partial(
      init_state,
      model=model,
      tx=tx,
      image_shape=dataset.image_shape,
      num_examples=dataset.train.num_examples,
    ),
    run_once=True,
  )(run_key(0, 0, 1))
  index = np.arange(plan.train.batch_size, dtype=np.int32)
  batch = jax.device_put(
    {
      'image': dataset.train.images[index],
      'label': dataset.train.labels[index],
      'example_index': index,
    }
  )

  def one_step() -> None:
    nonlocal state
    state = step(state, batch, keys)

  return _timed(one_step, lambda: jax.block_until_ready(state))


def _timed(
  step: Callable[[], None], wait: Callable[[], object]
) -> Callable[[int], float]:
  """A function of a number of steps: the seconds they take, after a few."""

  def run(num_steps: int) -> float:
    for position in range(num_steps + WARM_UP_STEPS):
      if position == WARM_UP_STEPS:
        wait()
        start = time.perf_counter()
      step()
    wait()
    return time.perf_counter() - start

  return run


class _Clock:
  """Stands where the loop's progress does, and notes when calls are made."""

  rate = 0.0

  def __init__(self):
    self._num_images = 0
    # Seconds, by how many images the calls so far are of.
    self.times: dict[int, float] = {}

  def advance(self, num_units: int, note: str = '') -> None:
    """Notes the time; the loop waits for the call before last."""
    del note
    self._num_images += num_units
    self.times[self._num_images] = time.perf_counter()


def real_loop(
  dataset: Dataset,
  plan: TrainingPlan,
  num_runs: int = 1,
  devices: Sequence[jax.Device] | None = None,
) -> Callable[[int], float]:
  """As `bare_step`, for the training loop with all runs side by side."""
  run_mesh = mesh_lib.make_run_mesh(
    num_runs, plan.train.batch_size, devices=devices or jax.devices()[:1]
  )
  if run_mesh.num_slots != num_runs:
    raise ValueError(f'{num_runs} runs do not fit on {len(devices)} devices.')
  everything = np.arange(dataset.train.num_examples)
  trainer = loop.Trainer(dataset, plan, run_mesh)
  warm_up = WARM_UP_CALLS * plan.steps_per_call

  def run(num_steps: int) -> float:
    clock = _Clock()

    @contextlib.contextmanager
    def clocked(*unused, **unused_too):
      yield clock

    with tempfile.TemporaryDirectory() as folder:
      jobs = [
        Job(
          'bench',
          epath.Path(folder) / f'run_{run}',
          run,
          AllExamples(everything, seed=0, run=run),
        )
        for run in range(num_runs)
      ]
      loop.progress, before = clocked, loop.progress
      loop.Trainer, trainer_class = (lambda *unused: trainer), loop.Trainer
      try:
        loop.train_jobs(jobs, dataset, plan, run_mesh, name='bench')
      finally:
        loop.progress, loop.Trainer = before, trainer_class
    num_images = num_runs * plan.train.batch_size
    return (
      clock.times[num_images * (warm_up + num_steps)]
      - clock.times[num_images * warm_up]
    )

  return run


def make_settings(
  model: str, width: int, batch_size: int, num_steps: int, **changes
) -> TrainingPlan:
  """Settings of a training that is measured for `num_steps` steps.

  Type and steps a call are those of the program on this backend, and so is the
  interval of log points, but on a CPU, where so many steps take minutes.

  Args:
    model: a key of `MODELS`.
    width: of the model; 0 for its own.
    batch_size: examples a step.
    num_steps: a multiple of the steps a call.
    **changes: of other settings of `config.train`.
  """
  config = config_lib.resolve(resnet18_cifar10.get_config())
  config = choose_dtypes(config, None)
  program = training_plan(config, 0, ())
  total = num_steps + (WARM_UP_CALLS + 1) * program.steps_per_call
  on_cpu = platform_of() == 'cpu'
  train = dataclasses.replace(
    program.train,
    batch_size=batch_size,
    eval_batch_size=256,
    log_every_steps=10 if on_cpu else program.train.log_every_steps,
    eval_every_steps=total,
    checkpoint_every_steps=total,
    **changes,
  )
  return dataclasses.replace(
    program,
    model=dataclasses.replace(program.model, name=model, width=width),
    optimizer=OptimizerSettings(learning_rate=0.01),
    train=train,
    num_steps=total,
    dynamics=DynamicsSettings(),
  )


def torch_step(plan: TrainingPlan) -> Callable[[int], float]:
  """As `bare_step`, for the fastest step of PyTorch on the same shapes.

  Raises:
    ImportError: if there is no PyTorch.
  """
  from benchmarks.torch_network import TorchSubject

  subject = TorchSubject(
    plan.model.width, plan.model.dtype, plan.train.batch_size, chunk=1
  )
  step = subject.train_step(channels_last=True, compiled=True, wait=False)

  return _timed(step, subject.wait)


def rows(options) -> list[timing.Row]:
  """The loop, the bare step, that without augmentation, PyTorch's step."""
  logging.set_verbosity(logging.WARNING)
  on_cpu = platform_of() == 'cpu'
  width = 16 if options.quick else 64
  batch_size = 64 if on_cpu else 512
  num_steps = 8 if on_cpu else 100
  dataset = random_dataset(4 * batch_size)
  make = functools.partial(
    make_settings, 'resnet18_lowres', width, batch_size, num_steps
  )
  settings, plain = make(), make(augmentation='none')
  builders = {
    # First: it crashes after TensorFlow, which the loop imports.
    _TORCH: lambda: torch_step(settings),
    _LOOP: lambda: real_loop(dataset, settings),
    _BARE: lambda: bare_step(dataset, settings),
    _PLAIN: lambda: bare_step(dataset, plain),
  }
  if options.quick and on_cpu:  # It compiles for half a minute there.
    del builders[_TORCH]
  images = num_steps * batch_size

  def build(name):
    run = builders[name]()
    return lambda: images / run(num_steps)

  measured = timing.take_turns(
    {
      name: timing.built_late(functools.partial(build, name))
      for name in builders
    },
    options.repeats,
    options.seconds,
  )
  table = functools.partial(
    timing.rows_of,
    f'ResNet-18, width {width}, batch {batch_size}, {settings.model.dtype}',
    unit='images/s',
  )
  found = table(
    {
      name: measured[name]
      for name in (_BARE, _LOOP, _PLAIN, _TORCH)
      if name in measured
    },
    against={_LOOP: _BARE, _PLAIN: _BARE},
    target={_LOOP: 'at least 0.97', _PLAIN: 'at most 1.03'},
  )
  if _TORCH not in measured:
    return found
  # Once more, beside the peer.
  pair = {name: measured[name] for name in (_LOOP, _TORCH)}
  target = {_LOOP: 'at least 1.2 on a GPU'}
  return found + table(pair, against={_LOOP: _TORCH}, target=target)[:1]
