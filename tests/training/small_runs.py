"""A tiny data set, settings and jobs, and ways to look at what was trained."""

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from datadiet.data.dataset import Dataset, Split, make_dataset
from datadiet.errors import Preempted
from datadiet.feeding.epochs import AllExamples, Epochs
from datadiet.models.settings import ModelSettings
from datadiet.runtime import mesh as mesh_lib
from datadiet.runtime import stopping
from datadiet.training.jobs import Job
from datadiet.training.loop import train_jobs
from datadiet.training.optimizer import OptimizerSettings
from datadiet.training.plan import TrainingPlan
from datadiet.training.settings import TrainSettings
from datadiet.training.state import TrainState
from datadiet.training.trainer import Trainer
from datadiet.workdir import artifacts, checkpoints

NUM_TRAIN, NUM_TEST, NUM_CLASSES, BATCH_SIZE = 64, 22, 3, 16


class SmallNet(nn.Module):
  """A convolution with batch norm and a dense layer: fast to compile."""

  num_classes: int
  width: int = 4
  dtype: jnp.dtype = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    hidden = nn.Conv(self.width, (3, 3), 2, use_bias=False, dtype=self.dtype)(
      images.astype(self.dtype)
    )
    hidden = nn.BatchNorm(
      not train, momentum=0.9, dtype=self.dtype, axis_name=self.axis_name
    )(hidden)
    features = nn.relu(hidden).reshape(len(images), -1)
    logits = nn.Dense(self.num_classes, dtype=self.dtype)(features)
    return logits.astype(jnp.float32)


def small_dataset(
  num_train: int = NUM_TRAIN, num_test: int = NUM_TEST
) -> Dataset:
  """Noise with a bright patch whose place tells the class; 8 x 8 x 3."""
  generator = np.random.default_rng(0)

  def split(name, num):
    labels = generator.integers(0, NUM_CLASSES, num).astype(np.int32)
    images = generator.integers(0, 160, (num, 8, 8, 3))
    for image, label in zip(images, labels):
      image[2 * label : 2 * label + 3] += 90
    ids = np.array([f'{name}_{i}' for i in range(num)])
    return Split(images.astype(np.uint8), labels, ids)

  return make_dataset(
    'small',
    split('train', num_train),
    split('test', num_test),
    tuple('abc'[:NUM_CLASSES]),
  )


def small_plan(**changes) -> TrainingPlan:
  """Ten steps of `SmallNet`; every kind of event in them.

  Args:
    **changes: of the plan, of its `train`, or `model` (its name), `width` and
      `dtype`.
  """
  train = TrainSettings(
    schedule_steps=10,
    batch_size=BATCH_SIZE,
    eval_batch_size=8,  # Does not divide the 22 test examples.
    augmentation='crop_flip',
    crop_padding=2,
    log_every_steps=2,
    eval_every_steps=5,
    checkpoint_every_steps=4,
    steps_per_call=1,
  )
  plan = TrainingPlan(
    ModelSettings(
      changes.pop('model', 'small_net'),
      width=changes.pop('width', 4),
      dtype=changes.pop('dtype', 'float32'),
    ),
    OptimizerSettings(),
    train,
    num_steps=10,
    keep_steps=(0, 3),
  )
  names = {field.name for field in dataclasses.fields(TrainSettings)}
  # num_steps is that of the plan.
  of_train = {
    name: changes.pop(name) for name in names - {'num_steps'} if name in changes
  }
  return dataclasses.replace(
    plan, train=dataclasses.replace(train, **of_train), **changes
  )


def small_jobs(
  folder: Path,
  runs: Sequence[int],
  dataset: Dataset,
  *,
  epochs: type[Epochs] | None = None,
  seed: int = 0,
  **options: Any,
) -> list[Job]:
  """One job a run, on all examples, in epochs that take some options."""
  return [
    Job(
      name=f'train/run_{run:02d}',
      folder=epath.Path(folder) / artifacts.run_name(run),
      run=run,
      epochs=(epochs or AllExamples)(
        np.arange(dataset.train.num_examples), seed=seed, run=run, **options
      ),
    )
    for run in runs
  ]


def run_mesh(num_slots: int, num_devices: int) -> mesh_lib.RunMesh:
  """The first devices in so many slots."""
  return mesh_lib.make_run_mesh(
    num_slots,
    BATCH_SIZE,
    runs_at_once=num_slots,
    devices=jax.devices()[:num_devices],
  )


def train(
  folder: Path,
  runs: Sequence[int] = (0,),
  *,
  slots: int = 1,
  devices: int = 1,
  dataset: Dataset | None = None,
  epochs: type[Epochs] | None = None,
  options: Mapping[str, Any] | None = None,
  **changes,
) -> None:
  """Trains runs with the small settings on a mesh of the given size."""
  dataset = dataset or small_dataset()
  plan = small_plan(**changes)
  jobs = small_jobs(
    folder,
    runs,
    dataset,
    epochs=epochs,
    seed=plan.train.data_seed,
    num_steps=plan.num_steps,
    **options or {},
  )
  train_jobs(
    jobs,
    dataset,
    plan,
    run_mesh(slots, devices),
    name='test run',
  )


def stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
  """Asks to stop while the given step trains, as a signal would."""
  run_steps = Trainer.run_steps
  done = [0]

  def counted(self, state, feed, keys, num_steps):
    state = run_steps(self, state, feed, keys, num_steps)
    done[0] += num_steps
    if done[0] >= step:
      monkeypatch.setattr(stopping, '_requested', True)
    return state

  monkeypatch.setattr(Trainer, 'run_steps', counted)


def train_until(folder: Path, step: int, **changes) -> None:
  """Trains as `train` does, stopped after so many steps."""
  with pytest.MonkeyPatch.context() as patch:
    stop_at(patch, step)
    with pytest.raises(Preempted):
      train(folder, **changes)


def outcome(run_folder: Path, **changes) -> Mapping[str, bytes]:
  """Everything a run leaves that must not depend on interruptions.

  The arrays of the last state and of the kept networks, the dynamics, the
  history and the manifest, as bytes by name. Full states before the last are
  left out: which two remain depends on where a run was stopped. `changes` of
  the small settings are those that the run was trained with; the epochs and
  their options change nothing here.
  """
  run_folder = epath.Path(run_folder)
  last = checkpoints.full_steps(run_folder)[-1]
  for name in ('epochs', 'options'):
    changes.pop(name, None)
  shapes = state_shapes(**changes)
  state = checkpoints.restore_state(run_folder, last, shapes)
  found = {'last step': str(last).encode()} | described(state)
  for step in small_plan().keep_steps:
    variables = checkpoints.load_variables(run_folder, step)
    found |= described(variables, f'step {step}: ')
  for path in sorted((run_folder / 'dynamics').iterdir()):
    found |= described(artifacts.read_npz(path), f'{path.name}: ')
  manifest = artifacts.read_manifest(run_folder)
  found['manifest'] = json.dumps(manifest).encode()
  found['history.csv'] = (run_folder / 'history.csv').read_bytes()
  return found


@functools.cache
def state_shapes(**changes) -> TrainState:
  """Shapes of one run's state."""
  settings = small_plan(**changes)
  return Trainer(small_dataset(), settings, run_mesh(1, 1)).state_shapes()


def described(tree: Any, prefix: str = '') -> dict[str, bytes]:
  """Type, shape and bits of each array, by its path."""
  return {
    prefix + jax.tree_util.keystr(path): (
      f'{leaf.dtype}{leaf.shape}'.encode() + leaf.tobytes()
    )
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
  }


def assert_same_outcome(
  run_folder: Path, expected: Mapping[str, bytes], **changes
):
  """Bitwise, naming what differs."""
  found = outcome(run_folder, **changes)
  assert found.keys() == expected.keys()
  assert not [name for name in found if found[name] != expected[name]]
