"""The grid: methods at one size, against random and against each other."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from datadiet.reporting.summary import FULL
from datadiet.results import Results

# Of tests that a difference is no chance, after Holm's correction.
LEVEL = 0.05
# Methods that a verdict names.
_MAX_NAMED = 4
COLUMNS = (
  'method',
  'selection',
  'num_kept',
  'fraction',
  'num_runs',
  'mean_accuracy',
  'interval',
  'minus_random',
  'minus_random_interval',
  'p_value',
  'worst_class',
  'selection_seconds',
  'training_steps',
  'scoring_steps',
)


def build_grid(
  results: Results, summary: dict[str, Any]
) -> list[dict[str, Any]]:
  """Compares what was retrained at each size.

  Runs of one number begin with the same network, so that differences are paired
  by run: a t-test of their mean, corrected by Holm over the methods of a size.

  Args:
    results: of the workdir.
    summary: from `build_summary`.

  Returns:
    One dict a size that several methods were retrained at, the largest first:
      num_kept, fraction; best: the method that is above all others beyond
      chance, or None; verdict: a sentence on that; rows: one dict a method by
      falling accuracy, as `COLUMNS`, with extra_tests. `interval` is half of
      the 95 % interval of the mean; `p_value` is that of the difference to
      random, or at full size to all the data; what is not known is None.
  """
  groups: dict[int, list[dict]] = {}
  for row in summary['accuracy']:
    if row['num_kept'] is not None and row['mean_accuracy'] is not None:
      groups.setdefault(row['num_kept'], []).append(row)
  return [
    _compared(results, rows)
    for _, rows in sorted(groups.items(), reverse=True)
    if len({row['policy'] for row in rows if row['policy'] != 'random'}) > 1
  ]


def _compared(results: Results, rows: list[dict]) -> dict[str, Any]:
  """The comparison at one size."""
  accuracies = {row['selection']: _by_run(results, row) for row in rows}
  reference = next(
    (row['selection'] for row in rows if _is_reference(row)), None
  )
  found = [_row(results, row, accuracies[row['selection']]) for row in rows]
  tests = {
    name: paired(values, accuracies[reference])
    for name, values in accuracies.items()
    if reference is not None and name != reference
  }
  p_values = dict(
    zip(tests, holm(one[2] for one in tests.values()), strict=True)
  )
  for row in found:
    difference, interval, _ = tests.get(row['selection'], (None, None, None))
    row['minus_random'] = difference
    row['minus_random_interval'] = interval
    row['p_value'] = p_values.get(row['selection'])
  found.sort(key=lambda row: -row['mean_accuracy'])
  best, verdict = _verdict(found, accuracies)
  return {
    'num_kept': rows[0]['num_kept'],
    'fraction': rows[0]['fraction'],
    'best': best,
    'verdict': verdict,
    'rows': found,
  }


def _is_reference(row: dict) -> bool:
  """Whether a row is of plain random subsets, or of all the data."""
  plain = not row['class_balanced'] and not row['budget']
  return row['selection'] == FULL or (row['policy'] == 'random' and plain)


def _by_run(results: Results, row: dict) -> pd.Series:
  """The test accuracies of a row, by the number of the run."""
  table = results.retrain
  names = {row['selection']}
  if row['selection'] == FULL:
    full = (name for name, seen in results.retrained_on.items() if seen is None)
    names = set(full)
    if not names:
      table = results.train_runs.assign(selection=FULL)
      names = {FULL}
  runs = table[table['selection'].isin(names)]
  return runs.set_index('run')['test_accuracy'].dropna().astype(np.float64)


def _row(results: Results, row: dict, accuracies: pd.Series) -> dict[str, Any]:
  train = results.config.get('train', {})
  group = 'train' if row['selection'] == FULL else row['selection']
  by_class = results.class_accuracies.get(group)
  selection = results.selections.get(row['selection'])
  made_from = selection.made_from if selection else ()
  num_networks = train.get('num_runs', 0) if 'scores' in made_from else 0
  if made_from and not num_networks:
    num_networks = 1  # Features and predictions are those of one.
  seconds = results.timing.get('select', {}).get('subsets', {})
  return {
    'method': _method(row),
    **{name: row[name] for name in ('selection', 'num_kept', 'fraction')},
    'num_runs': len(accuracies),
    'mean_accuracy': float(accuracies.mean()),
    'interval': half_interval(accuracies.to_numpy()),
    'worst_class': None
    if by_class is None
    else float(np.nanmin(by_class, axis=1).mean()),
    'extra_tests': row.get('extra_tests', {}),
    'selection_seconds': seconds.get(row['selection']),
    'training_steps': row['num_steps'],
    'scoring_steps': num_networks * train.get('num_steps', 0),
  }


def _method(row: dict[str, Any]) -> str:
  """The name of a selection without its size, the same at all sizes."""
  policy = row['policy'] or ''
  return row['selection'].replace(f'{policy}_{row["num_kept"]}', policy, 1)


def half_interval(values: np.ndarray) -> float | None:
  """Half of the 95 % interval of a mean, by Student's t; None for one value."""
  if len(values) < 2:
    return None
  error = values.std(ddof=1) / math.sqrt(len(values))
  return float(stats.t.ppf(0.975, len(values) - 1) * error)


def paired(
  values: pd.Series, others: pd.Series
) -> tuple[float | None, float | None, float | None]:
  """The mean difference over runs that both have, its interval and p-value.

  Args:
    values: accuracies, by the number of the run.
    others: likewise, what they are compared with.

  Returns:
    (mean, half of the 95 % interval, p-value of a two-sided paired t-test), the
    last two None for fewer than two runs in common, all None for none.
  """
  differences = (values - others).dropna().to_numpy()
  if not len(differences):
    return None, None, None
  mean, interval = float(differences.mean()), half_interval(differences)
  if interval is None:
    return mean, None, None
  if not interval:
    return mean, 0.0, float(mean == 0)
  return mean, interval, float(stats.ttest_1samp(differences, 0.0).pvalue)


def holm(p_values: Iterable[float | None]) -> list[float | None]:
  """Holm's correction of several tests; those that are None stay so."""
  given = list(p_values)
  known = sorted(
    (value, number) for number, value in enumerate(given) if value is not None
  )
  corrected: list[float | None] = [None] * len(given)
  highest = 0.0
  for rank, (value, number) in enumerate(known):
    highest = max(highest, min(1.0, value * (len(known) - rank)))
    corrected[number] = highest
  return corrected


def _verdict(
  rows: list[dict[str, Any]], accuracies: dict[str, pd.Series]
) -> tuple[str | None, str]:
  """The best method where it is above all others beyond chance, and words."""
  first, *others = rows
  leader = accuracies[first['selection']]
  tests = [paired(leader, accuracies[row['selection']])[2] for row in others]
  if None in tests:
    return None, (
      f'No best method: {first["method"]} has the highest accuracy, but with '
      'fewer than two runs in common nothing tells by how much runs differ.'
    )
  alike = [
    row['method']
    for row, p_value in zip(others, holm(tests), strict=True)
    if p_value is None or p_value >= LEVEL
  ]
  if not alike:
    return first['method'], (
      f'Best: {first["method"]}, above all others beyond chance '
      f'({first["num_runs"]} runs each).'
    )
  named = '; '.join(alike[:_MAX_NAMED])
  if len(alike) > _MAX_NAMED:
    named += f' and {len(alike) - _MAX_NAMED} more'
  return None, (
    f'No best method: {first["method"]} has the highest accuracy, but within '
    f'what runs differ by of {named}.'
  )
