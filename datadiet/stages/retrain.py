"""The retrain stage: the same training on every subset, and on all data."""

import dataclasses

import numpy as np
from absl import logging
from etils import epath

from datadiet.errors import counted
from datadiet.feeding.epochs import AllExamples, Epochs
from datadiet.runtime.mesh import RunMesh, make_run_mesh
from datadiet.runtime.progress import format_seconds
from datadiet.selection import POLICIES
from datadiet.stages import draws, timing
from datadiet.stages.context import Context, training_plan
from datadiet.stages.selections import PlannedSelection
from datadiet.training.jobs import Job
from datadiet.training.loop import train_jobs
from datadiet.workdir import artifacts


def needs_full(context: Context) -> bool:
  """Whether retraining includes all the data, for comparison with subsets.

  Not needed where the scoring runs train on everything and as long as
  retraining does: subsets are then compared with these.
  """
  config = context.config
  return config.retrain.full and (
    config.retrain.num_steps != config.train.num_steps
    or config.train.leaves_out
    or bool(config.train.subset_path)
  )


# (name, run, selection or None for all the data) to train on.
Planned = tuple[str, int, PlannedSelection | None]


def _planned(context: Context) -> list[Planned]:
  """All retrainings, done or not."""
  runs = range(context.config.retrain.num_runs)
  planned: list[Planned] = []
  if needs_full(context):
    name = f'full_{context.num_examples}'
    planned += [(name, run, None) for run in runs]
  for selection in context.selections:
    planned += [(selection.name, run, selection) for run in runs]
  return planned


def _is_done(context: Context, name: str, run: int) -> bool:
  folder = context.workdir.run(f'retrain/{name}', run)
  return context.manifest(folder) is not None


def _job(
  context: Context, name: str, run: int, selection: PlannedSelection | None
) -> Job:
  example_index, described = np.arange(context.num_examples), None
  if selection is not None:
    changes, index_hash = selection.changes, None
    if not changes:
      draw = draws.for_run(context, selection, run)
      example_index = draws.read_draw(context, draw)
      index_hash = draws.hash_of(example_index)
    described = {**selection.facts(), 'changes': changes, 'hash': index_hash}
  number = context.config.retrain.first_run + run
  return Job(
    name=f'retrain/{name}/{artifacts.run_name(run)}',
    folder=context.workdir.run(f'retrain/{name}', run),
    run=number,
    epochs=_epochs(context, example_index, number, selection),
    described=described,
  )


def _epochs(
  context: Context,
  example_index: np.ndarray,
  run: int,
  selection: PlannedSelection | None,
) -> Epochs:
  """The examples of each epoch of a run."""
  seed = context.config.train.data_seed
  if selection is None or not selection.changes:
    return AllExamples(example_index, seed=seed, run=run)
  epochs = POLICIES[selection.policy].epochs
  assert epochs is not None  # Or nothing would change.
  return epochs(
    example_index,
    seed=seed,
    run=run,
    num_kept=selection.num_kept,
    num_steps=context.config.retrain.num_steps,
    **selection.options,
  )


def jobs(context: Context) -> list[Job]:
  """One job for each subset and run; the subsets must have been made."""
  return [_job(context, *one) for one in _planned(context)]


def plan(context: Context) -> str:
  """The work that is left, in one line."""
  planned = _planned(context)
  done = sum(_is_done(context, name, run) for name, run, _ in planned)
  num_steps = context.config.retrain.num_steps
  text = f'{counted(len(planned), "run")} of {counted(num_steps, "step")}'
  run_mesh = _mesh(context, max(1, len(planned)))
  return f'{text} ({done} done){run_mesh.describe(len(planned) - done)}'


def run(context: Context) -> None:
  """Trains the runs that are not finished, of all subsets side by side."""
  all_jobs = jobs(context)
  if text := _expected_time(context):
    logging.info('%s', text)
  # Runs of one kind share a train step.
  for uses_losses in (False, True):
    _train(
      context,
      [job for job in all_jobs if job.epochs.uses_losses == uses_losses],
      uses_losses,
    )


def _expected_time(context: Context) -> str | None:
  """Estimates the time that is left from the rate of the train stage.

  None where that stage ran on other devices or not at all, or nothing is left.
  """
  config, workdir = context.config, context.workdir
  left = sum(
    not _is_finished(workdir.run(f'retrain/{name}', run))
    for name, run, _ in _planned(context)
  )
  stage = timing.read_timing(context).get('train', {})
  if not left or stage.get('devices') != timing.devices():
    return None
  num_trained = sum(
    _is_finished(workdir.run('train', run)) for run in context.runs
  )
  num_steps = num_trained * config.train.num_steps
  if not num_steps or not stage['seconds']:
    return None
  rate = num_steps * config.train.batch_size / stage['seconds']
  seconds = left * config.retrain.num_steps * config.train.batch_size / rate
  return (
    f'{counted(left, "retraining run")} of {config.retrain.num_steps:,} '
    f'steps: about {format_seconds(seconds)}, at the {rate:,.0f} images/s of '
    'training'
  )


def _is_finished(folder: epath.Path) -> bool:
  """Whether a run has a manifest; it is not read, for an estimate."""
  return (folder / artifacts.MANIFEST).exists()


def _mesh(context: Context, num_runs: int) -> RunMesh:
  train = context.config.train
  return make_run_mesh(
    num_runs, train.batch_size, runs_at_once=train.runs_at_once
  )


def _train(context: Context, some_jobs: list[Job], uses_losses: bool) -> None:
  config = context.config
  if not some_jobs:
    return
  plan = training_plan(config, config.retrain.num_steps)
  train_jobs(
    some_jobs,
    context.dataset,
    dataclasses.replace(
      plan, uses_losses=uses_losses, pretrained=context.pretrained
    ),
    _mesh(context, len(some_jobs)),
    name='retraining run',
    placements=context.placements,
  )
