"""The train stage: independent networks on all the data, to be scored."""

import numpy as np

from datadiet.parallel import make_run_mesh
from datadiet.stages import wanted
from datadiet.stages.context import Context, train_settings
from datadiet.training.jobs import Job
from datadiet.training.loop import is_trained, train_jobs

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
      example_index=everything if inside is None else everything[inside[run]],
    )
    for run in context.runs
  ]


def plan(context: Context) -> str:
  """What is to be done, in a line."""
  all_jobs = jobs(context)
  done = sum(is_trained(job.folder, context.dataset) for job in all_jobs)
  steps = context.config.train.num_steps
  return f'{len(all_jobs)} runs of {steps} steps ({done} done)'


def run(context: Context) -> None:
  """Trains the runs that are not finished."""
  config = context.config
  keep_steps = tuple(sorted({*config.score.steps, *config.train.early_steps}))
  train_jobs(
    jobs(context),
    context.dataset,
    train_settings(config, config.train.num_steps, keep_steps),
    make_run_mesh(
      config.train.num_runs,
      config.train.batch_size,
      runs_at_once=config.train.runs_at_once,
    ),
    name='training run',
  )
