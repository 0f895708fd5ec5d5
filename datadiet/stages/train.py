"""The train stage: independent networks on all the data, to be scored."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from datadiet.config import Config
from datadiet.errors import ConfigError, DataDietError, counted
from datadiet.feeding.epochs import AllExamples
from datadiet.runtime.mesh import RunMesh, make_run_mesh
from datadiet.stages.context import Context, training_plan
from datadiet.training.jobs import Job
from datadiet.training.loop import is_trained, train_jobs
from datadiet.training.plan import TrainingPlan
from datadiet.workdir import artifacts, checkpoints

GROUP = 'train'


def jobs(context: Context) -> list[Job]:
  """One job a run, on all examples or on the run's own subset."""
  everything = np.arange(context.num_examples)
  inside = context.trained_on
  folds = context.config.train.folds
  return [
    Job(
      name=f'{GROUP}/{artifacts.run_name(run)}',
      folder=context.workdir.run(GROUP, run),
      run=run,
      epochs=AllExamples(
        everything if inside is None else everything[inside[run]],
        seed=context.config.train.data_seed,
        run=run,
      ),
      described={
        'left_out': {'repeat': run // folds, 'fold': run % folds, 'of': folds}
      }
      if folds
      else None,
    )
    for run in context.runs
  ]


def plan(context: Context) -> str:
  """The work that is left, in one line."""
  all_jobs = jobs(context)
  done = sum(is_trained(job.folder, context.dataset) for job in all_jobs)
  num_steps = context.config.train.num_steps
  text = f'{counted(len(all_jobs), "run")} of {counted(num_steps, "step")}'
  _, run_mesh = plan_and_mesh(context.config)
  return f'{text} ({done} done){run_mesh.describe(len(all_jobs) - done)}'


def _network_steps(config: Config) -> tuple[int, ...]:
  """The steps whose networks and dynamics are kept."""
  train = config.train
  keep = {*config.score.steps, *train.early_steps}
  if train.early_every:
    last = train.early_until or train.num_steps
    keep |= {*range(0, last + 1, train.early_every)}
  return tuple(sorted(keep))


def _check_networks_kept(context: Context) -> None:
  """Refuses steps that training has passed without keeping the network.

  Raises:
    ConfigError: names the step, and what there is.
  """
  for job in jobs(context):
    newest = max(checkpoints.full_steps(job.folder), default=-1)
    kept = checkpoints.variable_steps(job.folder)
    for step in _network_steps(context.config):
      if step <= newest and step not in kept:
        raise ConfigError(
          f'config.score.steps or config.train.early_*: step {step} is not '
          f'allowed: {job.name} has passed it without keeping its network; '
          f'allowed: {", ".join(map(str, kept))}, later steps, or another '
          '--workdir'
        )


def _check_subset_unchanged(context: Context) -> None:
  """Stores a copy of the examples to train on, or compares with it.

  Raises:
    DataDietError: if the file at config.train.subset_path has changed.
  """
  if context.subset is None:
    return
  stored = context.workdir.root / GROUP / 'example_index.npy'
  if not stored.exists():
    artifacts.write_npy(stored, context.subset)
  elif not np.array_equal(artifacts.read_npy(stored), context.subset):
    raise DataDietError(
      f'config.train.subset_path: {context.config.train.subset_path} has '
      f'changed since this workdir was made (then: {stored}); use another '
      '--workdir'
    )


def plan_and_mesh(
  config: Config, devices: Sequence[jax.Device] | None = None
) -> tuple[TrainingPlan, RunMesh]:
  """How the stage trains, and on which arrangement of the devices.

  Args:
    config: of `config.resolve`.
    devices: all of `jax.devices()` if None.
  """
  train = config.train
  plan = training_plan(
    config,
    train.num_steps,
    _network_steps(config),
    profile_steps=train.profile_steps,
  )
  return plan, make_run_mesh(
    train.num_runs,
    train.batch_size,
    runs_at_once=train.runs_at_once,
    devices=devices,
  )


def run(context: Context) -> None:
  """Trains the runs that are not finished."""
  _check_networks_kept(context)
  _check_subset_unchanged(context)
  plan, run_mesh = plan_and_mesh(context.config)
  train_jobs(
    jobs(context),
    context.dataset,
    dataclasses.replace(plan, pretrained=context.pretrained),
    run_mesh,
    name='training run',
    placements=context.placements,
  )
