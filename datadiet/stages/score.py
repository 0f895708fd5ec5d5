"""The score stage: scores every example with every network, then averages."""

import functools

from datadiet.errors import counted
from datadiet.runtime import processes
from datadiet.stages import due, mean_scores
from datadiet.stages.context import Context
from datadiet.stages.network_scores import NetworkScorer


def plan(context: Context) -> str:
  """The work that is left, in one line."""
  steps, runs = context.config.score.steps, context.runs
  done = sum(
    not due.missing(context, run, step)
    and not due.lacks_extra_arrays(context, run, step)
    for step in steps
    for run in runs
  )
  names = ', '.join(context.config.score.names)
  return (
    f'{counted(len(runs), "run")} at step '
    f'{", ".join(map(str, steps))}: {names} ('
    f'{done} of {len(runs) * len(steps)} done)'
  )


def _missing(
  context: Context, run: int, step: int
) -> tuple[tuple[str, ...], bool]:
  """A network's missing scores, and whether it lacks arrays beside them."""
  return (
    due.missing(context, run, step),
    due.lacks_extra_arrays(context, run, step),
  )


def run(context: Context) -> None:
  """Computes what is missing, then the means and tables.

  Raises:
    DataDietError: if a network is missing, or scores are not finite.
    Preempted: if the process was asked to stop; what is done is saved.
  """
  config = context.config
  scorer = NetworkScorer(context)
  for step in config.score.steps:
    for run_number in context.runs:
      names, extra = processes.broadcast_from_lead(
        functools.partial(_missing, context, run_number, step)
      )
      if names or extra:
        scorer.score(run_number, step, tuple(names), extra)
  if processes.is_lead():
    mean_scores.write_trajectories(context)
    for step in config.score.steps:
      mean_scores.write_means(context, step)
