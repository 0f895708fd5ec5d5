"""The retrain stage: the same training on every subset, and on all data."""

import dataclasses

import numpy as np

from datadiet.feeding.epochs import AllExamples, Epochs
from datadiet.runtime.mesh import make_run_mesh
from datadiet.selection import POLICIES, check_policy
from datadiet.stages import select
from datadiet.stages.context import Context
from datadiet.stages.select import Selection
from datadiet.stages.settings import training_plan
from datadiet.stages.subset import read_example_index
from datadiet.training.jobs import Job
from datadiet.training.loop import is_trained, train_jobs


def needs_full(context: Context) -> bool:
  """Whether all the data has to be trained on again, to compare with.

  Where scoring runs train on everything and as long as retraining does, they
  are what a subset is compared with.
  """
  config = context.config
  return config.retrain.full and (
    config.retrain.num_steps != config.train.num_steps
    or config.train.subset_fraction < 1.0
    or bool(config.train.subset_path)
  )


def _draws(context: Context) -> list[tuple[str, int, Selection | None]]:
  """(name, run, selection or None for all the data) to train on."""
  runs = range(context.config.retrain.num_runs)
  draws: list[tuple[str, int, Selection | None]] = []
  if needs_full(context):
    name = f'full_{context.dataset.train.num_examples}'
    draws += [(name, run, None) for run in runs]
  for selection in select.selections(context):
    draws += [(selection.name, run, selection) for run in runs]
  return draws


def _is_done(context: Context, name: str, run: int) -> bool:
  folder = context.workdir.run(f'retrain/{name}', run)
  return is_trained(folder, context.dataset)


def _job(context: Context, name: str, run: int, selection) -> Job:
  num_examples = context.dataset.train.num_examples
  example_index = np.arange(num_examples)
  if selection is not None and not selection.changes:
    folders = dict(select.folders(context, selection))
    folder = folders[run if selection.by_run else 0]
    example_index = read_example_index(folder, num_examples)
  number = context.config.retrain.first_run + run
  return Job(
    name=f'retrain/{name}/run_{run:02d}',
    folder=context.workdir.run(f'retrain/{name}', run),
    run=number,
    epochs=_epochs(context, example_index, number, selection),
  )


def _epochs(context: Context, example_index, run: int, selection) -> Epochs:
  """What each epoch of a run goes through."""
  seed = context.config.train.data_seed
  if selection is None or not selection.changes:
    return AllExamples(example_index, seed=seed, run=run)
  return POLICIES[selection.policy].epochs(
    example_index,
    seed=seed,
    run=run,
    num_kept=selection.num_kept,
    num_steps=context.config.retrain.num_steps,
    **check_policy(selection.policy, selection.options)[1],
  )


def jobs(context: Context) -> list[Job]:
  """One job for each subset and run; the subsets must have been made."""
  return [_job(context, *draw) for draw in _draws(context)]


def plan(context: Context) -> str:
  """What is to be done, in a line."""
  draws = _draws(context)
  done = sum(_is_done(context, name, run) for name, run, _ in draws)
  steps = context.config.retrain.num_steps
  return f'{len(draws)} runs of {steps} steps ({done} done)'


def run(context: Context) -> None:
  """Trains the runs that are not finished, of all subsets side by side."""
  all_jobs = jobs(context)
  # Runs of one kind share a train step.
  for uses_losses in (False, True):
    _train(
      context,
      [job for job in all_jobs if job.epochs.uses_losses == uses_losses],
      uses_losses,
    )


def _train(context: Context, some_jobs: list[Job], uses_losses: bool) -> None:
  config = context.config
  if not some_jobs:
    return
  plan = training_plan(config, config.retrain.num_steps, ())
  train_jobs(
    some_jobs,
    context.dataset,
    dataclasses.replace(plan, uses_losses=uses_losses),
    make_run_mesh(
      len(some_jobs),
      config.train.batch_size,
      runs_at_once=config.train.runs_at_once,
    ),
    name='retraining run',
    placements=context.placements,
  )
