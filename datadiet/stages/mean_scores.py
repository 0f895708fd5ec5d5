"""Scores over several runs or steps: means, held-out scores, tables."""

from collections.abc import Mapping

import numpy as np
from absl import logging

from datadiet import config as config_lib
from datadiet.scoring import aggregate, registry
from datadiet.scoring.loss_trajectories import (
  class_curves,
  correlation_of_differences,
)
from datadiet.scoring.tracin import doubts, tracin_self
from datadiet.stages import due, pred_probs
from datadiet.stages.context import Context
from datadiet.training.optimizer import make_schedule
from datadiet.workdir import artifacts, score_arrays, top_probs
from datadiet.workdir.top_probs import PredProbs

# Scores that nobody misses at a step: held-out ones are made after the means,
# those of all steps with the last.
_MADE_ELSEWHERE = (registry.HELD_OUT, registry.TRAJECTORY)


def write_trajectories(context: Context) -> None:
  """The scores of each run that are made of all its scored steps."""
  if 'tracin_self' in context.config.score.names:
    _write_tracin(context)
  if 'cld' in context.config.score.names:
    _write_cld(context)


def _write_cld(context: Context) -> None:
  """cld of each run, by the examples that it left out as held-out data."""
  steps, labels = context.config.score.steps, context.dataset.train.labels
  inside = context.trained_on
  assert inside is not None  # Checked with the config.
  for run in due.runs_of(context, 'loss', steps[-1]):
    losses = np.stack([context.run_array(run, step, 'loss') for step in steps])
    outside = ~inside[run]
    curves = class_curves(
      losses[:, outside], labels[outside], context.dataset.num_classes
    )
    cld = correlation_of_differences(losses, curves, labels)
    _write_trajectory(context, run, 'cld', cld)


def _write_trajectory(
  context: Context, run: int, name: str, values: np.ndarray
) -> None:
  """Writes a score of all steps of a run, with the last scored one."""
  folder = context.workdir.scores(run, context.config.score.steps[-1])
  artifacts.write_npy(folder / f'{name}.npy', values)
  manifest = context.manifest(folder)
  assert manifest is not None  # It has the scores of `due.runs_of`.
  # Folders of before have none.
  manifest.setdefault('checksums', {})[name] = artifacts.checksum(values)
  context.write_manifest(folder, manifest)


def _write_tracin(context: Context) -> None:
  """tracin_self of each run: sum over steps of learning rate times grand^2.

  Pruthi et al. 2020, arXiv 2002.08484. The rate is that of the update that led
  to the checkpoint. Written with the last scored step.
  """
  steps = due.steps_of(context.config, 'tracin_self')
  schedule = make_schedule(
    context.config.optimizer, context.config.train.schedule_steps
  )
  rates = [float(schedule(step - 1)) for step in steps]
  optimizer = context.config.optimizer
  for doubt in doubts(
    steps, rates, peak=optimizer.learning_rate, optimizer=optimizer.name
  ):
    logging.warning('%s', doubt)
  for run in due.runs_of(context, 'grand', steps[-1]):
    grand = [context.run_array(run, step, 'grand') for step in steps]
    _write_trajectory(context, run, 'tracin_self', tracin_self(grand, rates))


def write_means(
  context: Context, step: int, out_of_sample: PredProbs | None = None
) -> None:
  """Writes the mean over runs of every score of a step, and the table.

  With runs that train on subsets, scores are averaged over the runs that
  trained on the example, and by other names over those that did not; with
  folds, those of a forward pass over these alone. `out_of_sample` are imported
  predictions, [N, num_classes], by networks that did not train on the example.
  """
  # Where all runs share a subset, no example is held out by some only.
  inside = context.held_out
  means, statements, stability = {}, {}, {}
  left_out: dict[str, str] = {}
  checksums: dict[str, int] = {}
  folder = context.workdir.scores(None, step)
  for name in config_lib.mean_scores(context.config):
    by_run, stated = _by_run(context, name, step, inside)
    if not by_run:
      if registry.get(name).kind not in _MADE_ELSEWHERE:
        left_out[name] = (
          f'{name} is not defined at step {step}; train longer, or use another '
          'score'
        )
        logging.info('Left out at step %d: %s', step, left_out[name])
      continue
    try:
      arrays = _with_spread(name, by_run)
    except aggregate.Unseen as error:
      # What was trained and scored is not to be lost for it.
      left_out[name] = str(error)
      logging.warning('Left out at step %d: %s', step, error)
      continue
    means[name] = arrays[name]
    checksums |= score_arrays.write(folder, arrays)
    statements[name] = stated
    stability[name] = aggregate.rank_stability(by_run)
  if inside is not None:
    out_of_sample, held_out = _held_out(context, step, inside)
    means |= held_out
    checksums |= score_arrays.write(folder, held_out)
    for name in held_out:
      stated = due.statement(context.config, name)
      statements[name] = {**stated, 'runs': list(context.runs)}
  if out_of_sample is not None:
    checksums |= top_probs.write(folder, out_of_sample)
  context.write_manifest(
    folder,
    {
      **context.provenance(step),
      'kind': 'mean scores over runs',
      'runs': list(context.runs),
      'over': _averaged_over(context),
      'scores': statements,
      'checksums': checksums,
      # Spearman correlation between the means of k runs and of k others, out
      # of sample of k repeats of all folds.
      'rank_stability': stability,
      'left_out': left_out,
    },
  )
  write_table(context, step, means)


def _with_spread(name: str, by_run: list[np.ndarray]) -> dict[str, np.ndarray]:
  """A score's mean over runs and its spread, by the names of their files."""
  spread = aggregate.mean_and_spread(by_run, name=name)
  endings = {'mean': '', 'std': '_std', 'stderr': '_stderr'}
  return {f'{name}{ending}': spread[what] for what, ending in endings.items()}


def _averaged_over(context: Context) -> str:
  """Over which runs the scores of an example are averaged, in words."""
  if context.held_out is None:
    return 'all runs'
  if context.config.train.folds:
    return 'runs that trained on it; out_of_sample: those that did not'
  return 'runs that trained on it; *_out_of_sample: those that did not'


def _by_run(
  context: Context, name: str, step: int, inside: np.ndarray | None
) -> tuple[list[np.ndarray], dict]:
  """A score of every run that has it, NaN where it did not train on it.

  Out of sample it is NaN where the run did, and with folds one array for every
  repeat of them, each example's by the run that left it out.
  """
  score = registry.get(name)
  kind = score.kind
  if kind == registry.HELD_OUT and not score.made_of:
    return [], {}
  runs = due.runs_of_mean(context, name, step)
  if not runs:
    return [], {}
  stated = {**due.statement(context.config, name), 'runs': runs}
  array = score.made_of if kind == registry.HELD_OUT else name
  by_run = [context.run_array(run, step, array) for run in runs]
  if inside is not None and kind != registry.DATA:
    stated['out_of_sample'] = due.is_out_of_sample(context.config, name)
    folds = context.config.train.folds
    if not stated['out_of_sample']:
      by_run = aggregate.where(by_run, inside[runs])
    elif folds:
      by_run = aggregate.by_repeat(by_run, inside, folds)
    else:
      by_run = aggregate.where(by_run, ~inside[runs])
  if kind == registry.TRAJECTORY:
    stated['steps'] = due.steps_of(context.config, name)
  return by_run, stated


def _held_out(
  context: Context, step: int, inside: np.ndarray
) -> tuple[PredProbs, dict[str, np.ndarray]]:
  """Predictions by the runs that did not train on each example, and scores."""
  labels = context.dataset.train.labels
  probs = [pred_probs.read(context, run, step) for run in context.runs]
  held_out: dict[str, np.ndarray] = {}
  if 'memorization' in context.config.score.names:
    right = np.stack([each.argmax(-1) == labels for each in probs])
    held_out['memorization'] = aggregate.memorization(right, inside)
  return pred_probs.mean(probs, inside), held_out


def write_table(
  context: Context, step: int, means: Mapping[str, np.ndarray]
) -> None:
  """Writes scores_step_<s>.csv, one row an example; the last step's twice.

  Further columns of the data set, such as CINIC-10's origin, follow the scores.
  """
  split = context.dataset.train
  names = np.array(context.dataset.class_names)
  columns = [[f'{value:.9g}' for value in means[name]] for name in means]
  columns += [array.tolist() for array in split.columns.values()]
  rows = list(
    zip(
      range(split.num_examples),
      split.ids.tolist(),
      split.labels.tolist(),
      names[split.labels].tolist(),
      *columns,
      strict=True,
    )
  )
  header = ['example_index', 'id', 'label', 'label_name']
  header += [*means, *split.columns]
  artifacts.write_csv(context.workdir.scores_csv(step), header, rows)
  if step == context.config.score.steps[-1]:
    artifacts.write_csv(context.workdir.scores_csv(), header, rows)
