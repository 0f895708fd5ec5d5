"""Analysis of scores and selections: correlations, stability, classes, cost."""

import itertools
from typing import Any

import numpy as np
import pandas as pd

from datadiet.audit import most_voted
from datadiet.reporting.summary import leaves_out
from datadiet.results import Results, Selection
from datadiet.workdir.tables import STAGES
from datadiet.workdir.visits import DATA_MAP

# The share of examples that `run_stability` compares between runs.
TOP_FRACTION = 0.3
# More columns than these are no longer readable as a heat map.
_MAX_CORRELATED = 36


def score_columns(scores: pd.DataFrame) -> list[str]:
  """The columns of a table of scores that are scores."""
  return [name for name in scores.columns if name not in ('id', 'label')]


def rank_correlations(results: Results) -> pd.DataFrame:
  """Spearman correlations between all mean scores.

  Args:
    results: of the workdir.

  Returns:
    float64[num_scores, num_scores]; both axes are named 'score' and have those
    of the last scored step; or 'score and step', where several steps were
    scored and not too many scores.
  """
  tables = {step: results.scores_at(step) for step in results.steps}
  columns = {}
  for step, table in tables.items():
    suffix = f' ({step})' if len(tables) > 1 else ''
    for name in score_columns(table):
      columns[name + suffix] = table[name]
  axis = 'score and step' if len(tables) > 1 else 'score'
  if len(columns) > _MAX_CORRELATED:
    axis, last = 'score', tables[results.steps[-1]]
    columns = {name: last[name] for name in score_columns(last)}
  correlations = pd.DataFrame(columns).rank().corr()
  return correlations.rename_axis(index=axis, columns=axis)


def run_stability(results: Results) -> pd.DataFrame:
  """How well runs agree on each score at the last scored step.

  Args:
    results: of the workdir.

  Returns:
    One row a score and pair of runs: score, run_a, run_b, spearman (rank
    correlation), overlap (share of the TOP_FRACTION of examples with the
    highest scores in one run that are among those of the other, where ties
    are broken by chance in each run). Both are over the examples that have the
    score in both runs; a pair that shares fewer than two is left out.
  """
  rows = []
  for name in score_columns(results.scores):
    by_run = results.run_scores(name)
    correlations = by_run.corr('spearman', min_periods=2)
    shares = _top_shares(by_run)
    for run_a, run_b in itertools.combinations(by_run.columns, 2):
      pair, top = by_run[[run_a, run_b]], shares
      if pair.isna().any(axis=None):
        # Runs that trained on subsets.
        pair = pair.dropna()
        top = _top_shares(pair)
      if len(pair) < 2:
        continue
      both = (top[run_a] * top[run_b]).sum()
      rows.append(
        {
          'score': name,
          'run_a': run_a,
          'run_b': run_b,
          'spearman': correlations.loc[run_a, run_b],
          'overlap': both / top[run_a].sum(),
        }
      )
  columns = ['score', 'run_a', 'run_b', 'spearman', 'overlap']
  return pd.DataFrame(rows, columns=columns)


def _top_shares(by_run: pd.DataFrame) -> pd.DataFrame:
  """The chance of each example to be in the TOP_FRACTION of highest scores.

  1 or 0, but for those that tie for the last places and share them out: were
  they told apart by their index, runs would seem to agree on them.
  """
  num_top = max(1, round(TOP_FRACTION * len(by_run)))
  last = by_run.rank(method='max')
  num_tied = last - by_run.rank(method='min') + 1
  num_higher = by_run.count() - last
  return ((num_top - num_higher) / num_tied).clip(0, 1)


def stability_by_score(stability: pd.DataFrame) -> list[dict[str, Any]]:
  """Means over the pairs of runs: score, spearman, overlap, num_pairs."""
  rows = []
  for name, pairs in stability.groupby('score', sort=False):
    means = pairs[['spearman', 'overlap']].mean()
    means = means.astype(object).where(means.notna(), None)
    rows.append({'score': name, 'num_pairs': len(pairs), **means.to_dict()})
  return rows


def data_map(results: Results) -> pd.DataFrame:
  """Confidence, variability and correctness over training, if known.

  From the mean scores where these are among them, otherwise from the training
  dynamics of the runs (Swayamdipta et al. 2020): up to the last scored step,
  as the scores beside it are, or all of them where none were kept there.

  Returns:
    float32[N]: mean_confidence, variability, correctness, as means over the
    runs; NaN for examples that no run trained on. Empty if nothing is known.
    `.attrs['step']` is the step up to which it is.
  """
  scores, names = results.scores, list(DATA_MAP)
  if set(names) <= set(scores.columns):
    return _up_to(results.steps[-1], scores[names])
  tables, steps = [], []
  for run in results.score_runs():
    dynamics = results.dynamics(run, results.steps[-1])
    if len(dynamics.get('visits', ())) != len(scores):
      continue
    seen = dynamics['visits'] > 0
    columns = {
      name: np.where(seen, stated['function'](dynamics), np.nan)
      for name, stated in DATA_MAP.items()
    }
    tables.append(pd.DataFrame(columns))
    steps.append(int(dynamics['step']))
  if not tables:
    return pd.DataFrame(columns=names)
  # Runs that never saw an example have no value for it.
  stacked = pd.concat(tables).groupby(level=0).mean()
  stacked = stacked.astype(np.float32).rename_axis('example_index')
  return _up_to(max(steps), stacked)


def _up_to(step: int, table: pd.DataFrame) -> pd.DataFrame:
  table.attrs['step'] = step
  return table


def any_draw(selection: Selection) -> np.ndarray:
  """The examples kept, int64[num_kept]; of the first draw if they differ."""
  return next(iter(selection.example_index.values()))


def majority(predictions: pd.DataFrame) -> np.ndarray | None:
  """The class that most runs predict, as `audit.most_voted` says.

  Args:
    predictions: as from `Results.predictions`.

  Returns:
    int32[N], or None if no run has predictions.
  """
  if not predictions.shape[1]:
    return None
  return most_voted(predictions.to_numpy().T)


def class_counts(results: Results) -> pd.DataFrame:
  """How many examples of each class each selection keeps.

  Args:
    results: of the workdir; something was scored.

  Returns:
    [num_classes, 1 + num_selections]: first a column 'all examples', then one
    a selection; means over the draws where these differ by run.
  """
  labels = results.scores['label'].to_numpy()
  num_classes = results.dataset['num_classes']
  counts = {'all examples': np.bincount(labels, minlength=num_classes)}
  for name, selection in results.selections.items():
    draws = [
      np.bincount(labels[kept], minlength=num_classes)
      for kept in selection.example_index.values()
    ]
    counts[name] = np.mean(draws, 0)
  return pd.DataFrame(counts)


def class_shares(results: Results) -> pd.DataFrame:
  """`class_counts` of selections as shares of a class's examples."""
  counts = class_counts(results)
  return counts.drop(columns='all examples').div(counts['all examples'], axis=0)


def class_accuracies(results: Results) -> pd.DataFrame:
  """Test accuracy by class, where the runs' manifests have it.

  Args:
    results: of the workdir.

  Returns:
    float64[num_classes, num_groups], a column for 'train' and each retrained
    selection, being the mean over runs; without columns if there are none.
  """
  columns = {}
  for group, runs in results.class_accuracies.items():
    columns[group] = np.mean(runs, 0)
  return pd.DataFrame(columns)


def cost(results: Results, summary: dict[str, Any]) -> dict[str, Any]:
  """The cost of the data diet, and what it saves.

  Args:
    results: of the workdir.
    summary: from `build_summary`.

  Returns:
    stages: one dict a stage: stage, seconds, device_seconds, devices.
    diet_device_seconds: of training to score, scoring and selecting; None
      while one of these is unknown.
    per_retraining: mean device-seconds of one retraining run, or None.
    selections: for each retrained selection its name, num_kept, fraction,
      saved_bytes (of uint8 pixels) and saved_device_seconds: of one
      training if it kept the number of epochs and not, as retraining here
      does, that of steps; None where per_retraining is.
  """
  stages: list[dict[str, Any]] = [
    {
      'stage': stage,
      'seconds': entry.get('seconds'),
      'device_seconds': entry.get('device_seconds'),
      'devices': entry.get('devices'),
    }
    for stage, entry in results.timing.items()
    if isinstance(entry, dict)
  ]
  stages.sort(key=lambda row: _stage_position(row['stage']))
  spent = {row['stage']: row['device_seconds'] for row in stages}
  parts = [spent.get(stage) for stage in ('train', 'score', 'select')]
  num_runs = len(results.retrain)
  retrain = spent.get('retrain')
  per_run = retrain / num_runs if retrain and num_runs else None
  image_bytes = int(np.prod(results.dataset.get('image_shape', [0])))
  return {
    'stages': stages,
    'diet_device_seconds': None if None in parts else sum(parts),
    'per_retraining': per_run,
    'selections': [
      _saving(row, results.num_examples or 0, image_bytes, per_run)
      for row in summary['accuracy']
      if leaves_out(row)
    ],
  }


def _stage_position(stage: str) -> int:
  return STAGES.index(stage) if stage in STAGES else len(STAGES)


def _saving(
  row: dict[str, Any],
  num_examples: int,
  image_bytes: int,
  per_run: float | None,
) -> dict[str, Any]:
  left_out = 1 - row['fraction']
  return {
    'selection': row['selection'],
    'num_kept': row['num_kept'],
    'fraction': row['fraction'],
    'saved_bytes': (num_examples - row['num_kept']) * image_bytes,
    'saved_device_seconds': None if per_run is None else left_out * per_run,
  }
