"""The retrain stage: the same training on every subset, and on all data."""

import numpy as np

from datadiet.parallel import make_run_mesh
from datadiet.stages import select
from datadiet.stages.context import (
  Context,
  read_example_index,
  train_settings,
)
from datadiet.training.jobs import Job
from datadiet.training.loop import is_trained, train_jobs


def needs_full(context: Context) -> bool:
  """Whether all the data has to be trained on again, to compare with.

  Where scoring runs train as long as retraining does, they are what a subset
  is compared with.
  """
  config = context.config
  return config.retrain.full and (
    config.retrain.num_steps != config.train.num_steps
  )


def _draws(context: Context) -> list[tuple[str, int, object]]:
  """(selection, run, folder of its indices or None for all) to train on."""
  runs = range(context.config.retrain.num_runs)
  draws: list[tuple[str, int, object]] = []
  if needs_full(context):
    name = f'full_{context.dataset.train.num_examples}'
    draws += [(name, run, None) for run in runs]
  for selection in select.selections(context):
    folders = dict(select.folders(context, selection))
    shared = folders[0]
    draws += [
      (selection.name, run, folders[run] if selection.by_run else shared)
      for run in runs
    ]
  return draws


def jobs(context: Context) -> list[Job]:
  """One job for each subset and run; the subsets must have been made."""
  num_examples = context.dataset.train.num_examples
  everything = np.arange(num_examples)
  return [
    Job(
      name=f'retrain/{name}/run_{run:02d}',
      folder=context.workdir.run(f'retrain/{name}', run),
      run=context.config.retrain.first_run + run,
      example_index=everything
      if folder is None
      else read_example_index(folder, num_examples),
    )
    for name, run, folder in _draws(context)
  ]


def plan(context: Context) -> str:
  """What is to be done, in a line."""
  draws = _draws(context)
  done = sum(
    is_trained(context.workdir.run(f'retrain/{name}', run), context.dataset)
    for name, run, _ in draws
  )
  steps = context.config.retrain.num_steps
  return f'{len(draws)} runs of {steps} steps ({done} done)'


def run(context: Context) -> None:
  """Trains the runs that are not finished, of all subsets side by side."""
  config, all_jobs = context.config, jobs(context)
  if not all_jobs:
    return
  train_jobs(
    all_jobs,
    context.dataset,
    train_settings(config, config.retrain.num_steps, ()),
    make_run_mesh(
      len(all_jobs),
      config.train.batch_size,
      runs_at_once=config.train.runs_at_once,
    ),
    name='retraining run',
  )
