"""The train stage: independent networks on all the data, to be scored."""

import numpy as np

from datadiet.errors import ConfigError
from datadiet.feeding.epochs import AllExamples
from datadiet.runtime.mesh import make_run_mesh
from datadiet.stages import subset, wanted
from datadiet.stages.context import Context
from datadiet.stages.settings import training_plan
from datadiet.training.jobs import Job
from datadiet.training.loop import is_trained, train_jobs
from datadiet.workdir import checkpoints

GROUP = 'train'


def jobs(context: Context) -> list[Job]:
  """One job a run, on all examples or on the run's own subset."""
  everything = np.arange(context.dataset.train.num_examples)
  inside = wanted.trained_on(context)
  return [
    Job(
      name=f'{GROUP}/run_{run:02d}',
      folder=context.workdir.run(GROUP, run),
      run=run,
      epochs=AllExamples(
        everything if inside is None else everything[inside[run]],
        seed=context.config.train.data_seed,
        run=run,
      ),
    )
    for run in context.runs
  ]


def plan(context: Context) -> str:
  """What is to be done, in a line."""
  all_jobs = jobs(context)
  done = sum(is_trained(job.folder, context.dataset) for job in all_jobs)
  steps = context.config.train.num_steps
  return f'{len(all_jobs)} runs of {steps} steps ({done} done)'


def _keep_steps(config) -> tuple[int, ...]:
  """The steps whose networks and dynamics stay."""
  train = config.train
  keep = {*config.score.steps, *train.early_steps}
  if train.early_every:
    last = train.early_until or train.num_steps
    keep |= {*range(0, last + 1, train.early_every)}
  return tuple(sorted(keep))


def _check_kept(context: Context) -> None:
  """Refuses steps that training has passed without keeping the network.

  Raises:
    ConfigError: names the step, and what there is.
  """
  for job in jobs(context):
    newest = max(checkpoints.full_steps(job.folder), default=-1)
    kept = checkpoints.variable_steps(job.folder)
    for step in _keep_steps(context.config):
      if step <= newest and step not in kept:
        raise ConfigError(
          f'config.score.steps or config.train.early_*: step {step} is not '
          f'allowed: {job.name} has passed it without keeping its network; '
          f'allowed: {", ".join(map(str, kept))}, later steps, or another '
          '--workdir'
        )


def run(context: Context) -> None:
  """Trains the runs that are not finished."""
  config = context.config
  _check_kept(context)
  subset.check_unchanged(
    config,
    context.dataset.train.num_examples,
    context.workdir.root / GROUP / 'example_index.npy',
  )
  train_jobs(
    jobs(context),
    context.dataset,
    training_plan(config, config.train.num_steps, _keep_steps(config)),
    make_run_mesh(
      config.train.num_runs,
      config.train.batch_size,
      runs_at_once=config.train.runs_at_once,
    ),
    name='training run',
    placements=context.placements,
  )
