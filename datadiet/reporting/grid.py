"""The grid: methods at one size, against random and against each other."""

from typing import Any

import numpy as np
import pandas as pd

from datadiet.reporting.differences import (
  MIN_RUNS,
  Difference,
  compare,
  half_interval,
  holm,
)
from datadiet.reporting.summary import FULL, full_data_runs, is_baseline
from datadiet.results import Results, Selection
from datadiet.results.reading import runs_leave_out

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
  'is_paired',
  'worst_class',
  'selection_seconds',
  'training_steps',
  'scoring_steps',
)


def build_grid(
  results: Results, summary: dict[str, Any]
) -> list[dict[str, Any]]:
  """Compares what was retrained at each size.

  By t-tests of mean differences, as `compare` has them, corrected by Holm over
  the methods of a size.

  Args:
    results: of the workdir.
    summary: from `build_summary`.

  Returns:
    One dict a size that there are several methods at, the largest first; a
    method is any selection but random subsets of the whole or of equal classes:
      num_kept, fraction; best: the method that is above all others beyond
      chance, or None; verdict: a sentence on that; rows: one dict a method by
      falling accuracy, as `COLUMNS`, with extra_tests. `interval` is half of
      the 95 % interval of the mean over runs; `p_value` is that of the
      difference to random, or at full size to all the data; `is_paired`
      whether it is of runs that begin with the same network; what is not known
      is None.
  """
  groups: dict[int, list[dict]] = {}
  for row in summary['accuracy']:
    if row['num_kept'] is not None and row['mean_accuracy'] is not None:
      groups.setdefault(row['num_kept'], []).append(row)
  return [
    _compared(results, rows)
    for _, rows in sorted(groups.items(), reverse=True)
    if _is_comparison(rows)
  ]


def _is_comparison(rows: list[dict]) -> bool:
  """Whether there are several methods, or several kinds of random draws."""
  methods = [row for row in rows if not is_baseline(row)]
  return len(methods) > 1 or (
    len(rows) > 1 and any(row['policy'] == 'random' for row in methods)
  )


def _compared(results: Results, rows: list[dict]) -> dict[str, Any]:
  """The comparison at one size."""
  num_tested = results.dataset.get('num_test_examples')
  accuracies = {row['selection']: _by_network(results, row) for row in rows}
  found = [_row(results, row, accuracies[row['selection']]) for row in rows]
  tests = {
    name: compare(accuracies[name], accuracies[reference], num_tested)
    for name, reference in _references(rows).items()
  }
  p_values = dict(
    zip(tests, holm(one.p_value for one in tests.values()), strict=True)
  )
  for row in found:
    difference = tests.get(row['selection'], Difference())
    row['minus_random'] = difference.mean
    row['minus_random_interval'] = difference.interval
    row['p_value'] = p_values.get(row['selection'])
    row['is_paired'] = difference.is_paired
  found.sort(key=lambda row: -row['mean_accuracy'])
  best, verdict = _verdict(found, accuracies, num_tested)
  return {
    'num_kept': rows[0]['num_kept'],
    'fraction': rows[0]['fraction'],
    'best': best,
    'verdict': verdict,
    'rows': found,
  }


def _references(rows: list[dict]) -> dict[str, str]:
  """The selection that each of a size is compared with, where there is one.

  As in the summary, and so random subsets of equal classes for such a method;
  all others with plain random subsets, at full size with all the data.
  """
  names = {row['selection'] for row in rows}
  plain = next((row['selection'] for row in rows if _is_plain(row)), None)
  found = {}
  for row in rows:
    random = row['random_selection']
    reference = random if random in names else plain
    if reference not in (None, row['selection']):
      found[row['selection']] = reference
  return found


def _is_plain(row: dict) -> bool:
  """Whether a row is of plain random subsets, or of all the data."""
  plain = is_baseline(row) and not row['class_balanced']
  return row['selection'] == FULL or plain


def _runs(results: Results, row: dict) -> pd.DataFrame:
  """The runs of a row."""
  if row['selection'] == FULL:
    return full_data_runs(results)
  return results.retrain[results.retrain['selection'] == row['selection']]


def _by_network(results: Results, row: dict) -> pd.Series:
  """The test accuracies of a row, by the network that a run began with."""
  runs = _runs(results, row).set_index('network')['test_accuracy']
  return runs.dropna().astype(np.float64)


def _row(results: Results, row: dict, accuracies: pd.Series) -> dict[str, Any]:
  group = row['selection']
  if group == FULL:
    retrained = _runs(results, row).get('selection')
    group = 'train' if retrained is None else retrained.iloc[0]
  by_class = results.class_accuracies.get(group)
  selection = results.selections.get(row['selection'])
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
    'scoring_steps': _scoring_steps(results, selection),
  }


def _scoring_steps(results: Results, selection: Selection | None) -> int | None:
  """The training steps of all networks that a selection's arrays are of.

  Each was trained to the step of the arrays. 0 where it reads none; None for
  arrays from a file, whose cost is not known here.
  """
  if selection is None or not selection.made_from:
    return 0
  step = selection.step
  imported = results.config.get('train', {}).get('imported')
  if step is None or step not in results.steps or imported:
    return None
  known = results.score_info(step)
  counts = []
  for name in selection.made_from:
    if name in ('scores', 'mean_confidence'):
      score = selection.score or '' if name == 'scores' else name
      stated = known.get(score, {})
      if stated.get('based_on') == 'pixels':
        continue
      if 'runs' not in stated:
        return None
      counts.append(len(stated['runs']))
    elif name == 'class_errors' and runs_leave_out(results.config):
      counts.append(len(results.score_runs(step)))
    else:
      counts.append(1)  # Features and predictions are those of the first run.
  return max(counts, default=0) * step


def _method(row: dict[str, Any]) -> str:
  """The name of a selection without its size, the same at all sizes."""
  policy = row['policy'] or ''
  return row['selection'].replace(f'{policy}_{row["num_kept"]}', policy, 1)


def _verdict(
  rows: list[dict[str, Any]],
  accuracies: dict[str, pd.Series],
  num_tested: int | None,
) -> tuple[str | None, str]:
  """The best method where it is above all others beyond chance, and words."""
  first, *others = rows
  leader = accuracies[first['selection']]
  tests = [
    compare(leader, accuracies[row['selection']], num_tested).p_value
    for row in others
  ]
  if None in tests:
    return None, (
      f'No best method: {first["method"]} has the highest accuracy, but fewer '
      f'than {MIN_RUNS} runs each do not tell by how much runs differ.'
    )
  alike = [
    row['method']
    for row, p_value in zip(others, holm(tests), strict=True)
    if p_value is None or p_value >= LEVEL
  ]
  if not alike:
    counts = sorted({row['num_runs'] for row in rows})
    return first['method'], (
      f'Best: {first["method"]}, above all others beyond chance '
      f'({" to ".join(map(str, counts[:1] + counts[1:][-1:]))} runs each).'
    )
  named = '; '.join(alike[:_MAX_NAMED])
  if len(alike) > _MAX_NAMED:
    named += f' and {len(alike) - _MAX_NAMED} more'
  return None, (
    f'No best method: {first["method"]} has the highest accuracy, but within '
    f'what runs differ by of {named}.'
  )
