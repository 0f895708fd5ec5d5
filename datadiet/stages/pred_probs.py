"""Predictions of single runs and means of them, whole or the most probable."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from datadiet.scoring import aggregate
from datadiet.stages.context import Context
from datadiet.workdir import top_probs
from datadiet.workdir.top_probs import PredProbs, TopProbs


def are_there(context: Context, run: int | None, step: int) -> bool:
  """Whether a run, or the mean over runs (None), has predictions."""
  return top_probs.are_in(context.workdir.scores(run, step))


def all_runs_have(context: Context, step: int) -> bool:
  """Whether the score stage stored predictions of every run."""
  return all(are_there(context, run, step) for run in context.runs)


def _all_are_whole(context: Context, step: int) -> bool:
  folders = (context.workdir.scores(run, step) for run in context.runs)
  return all(map(top_probs.are_whole_in, folders))


def read(context: Context, run: int | None, step: int) -> PredProbs:
  """Predictions of a run, or the mean over runs (None), [N, num_classes].

  Raises:
    DataDietError: if they are missing, damaged, of the wrong length or not
      finite.
  """
  folder = context.workdir.scores(run, step)
  num_classes = context.dataset.num_classes
  found = top_probs.read(
    folder, context.num_examples, num_classes, context.manifest(folder)
  )
  if isinstance(found, TopProbs):
    file, values = top_probs.PROBS, found.probs
  else:
    file, values = top_probs.WHOLE, found
  aggregate.check_finite(
    values,
    name='the prediction',
    where=str(folder / f'{file}.npy'),
    advice='allowed: probabilities, from 0 to 1',
  )
  return found


def mean(by_run: Sequence[PredProbs], trained_on: np.ndarray) -> PredProbs:
  """The mean over the runs that did not train on each example.

  Args:
    by_run: [N, num_classes] each.
    trained_on: bool[num_runs, N]; every example out of at least one.
  """
  whole = [each for each in by_run if isinstance(each, np.ndarray)]
  if len(whole) == len(by_run):
    return aggregate.out_of_sample_mean(whole, trained_on)
  made = next(each for each in by_run if isinstance(each, TopProbs))
  return top_probs.keep_most_probable(
    aggregate.out_of_sample_mean(
      [each[rows] for each in by_run], trained_on[:, rows]
    )
    for rows in made.blocks()
  )


def mean_of_all(context: Context, step: int) -> PredProbs:
  """The mean over all runs, [N, num_classes]."""
  if _all_are_whole(context, step):
    total: Any = 0.0  # Then an array of the predictions' own type.
    for run in context.runs:
      total += read(context, run, step)
    return total / len(context.runs)
  by_run = [read(context, run, step) for run in context.runs]
  nothing = np.zeros((len(by_run), context.num_examples), bool)
  return mean(by_run, nothing)


def mean_of_trained_on(
  context: Context, step: int, inside: np.ndarray, otherwise: PredProbs
) -> PredProbs:
  """The mean over the runs that trained on each example, [N, num_classes].

  Args:
    context: of the workdir.
    step: of the networks.
    inside: bool[num_runs, N], whether they did.
    otherwise: of whole predictions, where none did; float32[N, num_classes].
  """
  if not _all_are_whole(context, step):
    by_run = [read(context, run, step) for run in context.runs]
    return mean(by_run, ~inside)
  total = np.zeros(otherwise.shape, np.float32)
  for run, trained_on in zip(context.runs, inside, strict=True):
    probs = read(context, run, step)
    total[trained_on] += probs[trained_on]
  counts = inside.sum(0)[:, None]
  return np.where(counts > 0, total / np.maximum(counts, 1), otherwise)
