"""The summary of a workdir: accuracy by selection, and what is missing."""

from typing import Any

import numpy as np
import pandas as pd

from datadiet.results import Results
from datadiet.workdir.tables import SELECTION_FACTS

FULL = 'full data'
# The name of the train stage's runs in tables of selections.
SCORING_RUNS = 'scoring runs'
# Subsets within this much of the full data's accuracy count as equal to it.
TOLERANCE = 0.005


def build_summary(results: Results) -> dict[str, Any]:
  """Sums up the accuracies of a workdir, finished or not.

  Args:
    results: of the workdir.

  Returns:
    A dict that JSON can hold; it is written to report/summary.json:
      dataset: the data set's description.
      accuracy: one dict a selection, the full data first, then by falling
        size: selection, policy, options, score, step, class_balanced,
        changes (whether training sees all the data in parts that change; None
        if that is not known), num_kept,
        fraction, num_runs, num_steps, mean_accuracy, std_accuracy (over runs,
        with Bessel's correction; None for a single run), minus_random (to
        random of the same size, balanced if it is balanced and there is one),
        random_selection, minus_full; where there are further test splits,
        also extra_tests: by name the mean over runs. Accuracies are in
        [0, 1]; what is not known is None.
      worse_than_random: sentences on the selections that are more than
        TOLERANCE worse than random of the same size, the worst first.
      smallest_equal: name of the smallest selection within TOLERANCE of the
        full data, of those that leave examples out; None if there is none.
      scored_steps, scores: what was scored.
      timing: as in timing.json.
      missing: sentences on what the workdir does not have (yet).
  """
  rows = _accuracy_rows(results)
  full = next((row for row in rows if row['selection'] == FULL), None)
  for row in rows:
    _compare(row, rows, full)
    _add_extra_tests(row, results)
  return {
    'dataset': results.dataset,
    'accuracy': rows,
    'worse_than_random': _worse_than_random(rows),
    'smallest_equal': _smallest_equal(rows, full),
    'scored_steps': results.steps,
    'scores': sorted(results.score_info()),
    'timing': results.timing,
    'missing': _missing(results, rows, full),
  }


def _accuracy_rows(results: Results) -> list[dict[str, Any]]:
  rows = []
  full_runs = full_data_runs(results)
  if len(full_runs):
    rows.append(_row(FULL, full_runs) | _full_description(results))
  subsets = []
  for name, runs in results.retrain.groupby('selection', sort=True):
    seen = results.retrained_on[name]
    if seen is not None:
      subsets.append(_row(name, runs) | _description(seen, runs))
  # Largest first; at one size what was tried before random.
  subsets.sort(
    key=lambda row: (-(row['num_kept'] or 0), row['policy'] == 'random')
  )
  return rows + subsets


def _full_names(results: Results) -> list[str]:
  """The names of what was retrained on all examples."""
  return [name for name, seen in results.retrained_on.items() if seen is None]


def full_data_runs(results: Results) -> pd.DataFrame:
  """Runs on all examples that are comparable with the retrained ones."""
  full = results.retrain['selection'].isin(_full_names(results))
  retrained_full = results.retrain[full]
  if len(retrained_full):
    return retrained_full
  runs = results.train_runs
  # Networks that score may have trained on a part of the data.
  runs = runs[runs['num_examples'] == results.num_examples]
  num_steps = set(results.retrain['num_steps'])
  return runs[runs['num_steps'].isin(num_steps)] if num_steps else runs


def _row(name: str, runs: pd.DataFrame) -> dict[str, Any]:
  accuracy = runs['test_accuracy'].dropna().to_numpy(np.float64)
  num_steps = runs['num_steps'].dropna().unique()
  return {
    'selection': name,
    'num_runs': len(runs),
    'num_steps': int(num_steps[0]) if len(num_steps) == 1 else None,
    'mean_accuracy': float(accuracy.mean()) if len(accuracy) else None,
    'std_accuracy': float(accuracy.std(ddof=1)) if len(accuracy) > 1 else None,
  }


def _full_description(results: Results) -> dict[str, Any]:
  return {
    **_facts({}),
    'changes': False,
    'num_kept': results.num_examples,
    'fraction': 1.0,
  }


def _description(seen: dict[str, Any], runs: pd.DataFrame) -> dict[str, Any]:
  num_kept = runs['num_kept'].dropna()
  fraction = runs['fraction'].dropna()
  return {
    **_facts(seen),
    'changes': bool(seen.get('changes')) if seen else None,
    'num_kept': int(num_kept.iloc[0]) if len(num_kept) else None,
    'fraction': float(fraction.iloc[0]) if len(fraction) else None,
  }


def _facts(seen: dict[str, Any]) -> dict[str, Any]:
  """The facts of a selection, as far as they are known."""
  facts = {name: seen.get(name) for name in SELECTION_FACTS}
  return facts | {
    'options': facts['options'] or {},
    'class_balanced': bool(facts['class_balanced']),
  }


def _difference(row: dict, other: dict | None) -> float | None:
  if other is None or row is other:
    return None
  pair = (row['mean_accuracy'], other['mean_accuracy'])
  return None if None in pair else pair[0] - pair[1]


def is_baseline(row: dict) -> bool:
  """Whether a row is of random subsets, drawn from all or equal classes."""
  return row['policy'] == 'random' and not row['budget']


def _compare(row: dict, rows: list[dict], full: dict | None) -> None:
  """Adds a row's differences to random of the same size and to full data."""
  randoms = [
    other
    for other in rows
    if is_baseline(other) and other['num_kept'] == row['num_kept']
  ]
  # A balanced subset is best compared with a balanced one.
  randoms.sort(key=lambda r: r['class_balanced'] != row['class_balanced'])
  comparable = randoms and row['policy'] and not is_baseline(row)
  random = randoms[0] if comparable else None
  row['random_selection'] = random['selection'] if random else None
  row['minus_random'] = _difference(row, random)
  row['minus_full'] = _difference(row, full)


def _add_extra_tests(row: dict, results: Results) -> None:
  """Adds the mean accuracies on further test splits, if there are any."""
  accuracies = results.extra_test_accuracies
  if not accuracies:
    return
  names = [row['selection']]
  if row['selection'] == FULL:
    names = _full_names(results) or ['train']
  tables = [accuracies[name] for name in names if name in accuracies]
  means = pd.concat(tables).mean() if tables else pd.Series(dtype=float)
  row['extra_tests'] = {name: float(mean) for name, mean in means.items()}


def extra_tests(summary: dict[str, Any]) -> list[str]:
  """The names of the further test splits of a summary."""
  rows = summary['accuracy']
  return [*dict.fromkeys(k for row in rows for k in row.get('extra_tests', ()))]


def _worse_than_random(rows: list[dict]) -> list[str]:
  worse = [
    row
    for row in rows
    if row['minus_random'] is not None and row['minus_random'] < -TOLERANCE
  ]
  worse.sort(key=lambda row: row['minus_random'])
  randoms = {row['selection']: row for row in rows}
  return [
    f'{row["selection"]} is {-100 * row["minus_random"]:.2f} points worse than '
    f'as many random examples ({percent(row["mean_accuracy"])} against '
    f'{percent(randoms[row["random_selection"]]["mean_accuracy"])}, '
    f'{_runs(row)}): {_advice(row, randoms[row["random_selection"]])}.'
    for row in worse
  ]


def _advice(row: dict, random: dict) -> str:
  """What follows where a row is worse than random, given their spread."""
  spreads = [
    (one['std_accuracy'] or 0.0) ** 2 / one['num_runs'] for one in (row, random)
  ]
  if -row['minus_random'] > 2 * sum(spreads) ** 0.5:
    return 'do not prune this data this way'
  return 'which may be chance, as runs differ by as much; train more to tell'


def _runs(row: dict) -> str:
  return f'{row["num_runs"]} run{"s" if row["num_runs"] != 1 else ""} each'


def _smallest_equal(rows: list[dict], full: dict | None) -> str | None:
  equal = [
    row
    for row in rows
    if leaves_out(row)
    and row['minus_full'] is not None
    # Not lost by rounding: 0.945 - 0.95 is less than -0.005.
    and row['minus_full'] >= -TOLERANCE - 1e-9
  ]
  smallest = min(equal, key=lambda row: row['num_kept'], default=None)
  return smallest['selection'] if smallest else None


def leaves_out(row: dict) -> bool:
  """Whether a row of `accuracy` is of a fixed proper subset."""
  fraction = row['fraction']
  is_part = fraction is not None and fraction < 1
  return is_part and row['changes'] is False


def _missing(
  results: Results, rows: list[dict], full: dict | None
) -> list[str]:
  missing = []
  if not results.dataset:
    missing.append('No data set was read yet.')
  if not len(results.train_runs):
    missing.append('No training run is finished.')
  if not results.steps:
    missing.append('Nothing was scored yet.')
  if not results.selections:
    missing.append('Nothing was selected yet.')
  retrained = set(results.retrain['selection'])
  if not retrained:
    missing.append('No selection was retrained yet.')
  else:
    left = sorted(set(results.selections) - retrained)
    if left:
      missing.append('Not retrained: ' + ', '.join(left) + '.')
  unknown = [row['selection'] for row in rows if row['changes'] is None]
  if unknown:
    missing.append(
      f'Of {", ".join(unknown)} nothing says which examples were trained on.'
    )
  if full is None and retrained and len(results.train_runs):
    missing.append(
      'No run on the full data is comparable: the training runs took another '
      'number of steps than the retraining runs or trained on a part of the '
      'data, and there is no retraining on everything.'
    )
  return missing


def format_table(summary: dict[str, Any]) -> str:
  """The accuracies as a plain-text table, to be printed.

  Args:
    summary: from `build_summary`.

  Returns:
    Lines without a trailing newline; accuracies in percent, differences in
    percentage points.
  """
  header = ('selection', 'kept', 'fraction', 'test accuracy')
  extra = extra_tests(summary)
  cells: list[tuple[str, ...]] = [
    (*header, *extra, 'runs', 'vs random', 'vs full')
  ]
  for row in summary['accuracy']:
    cells.append(
      (
        row['selection'],
        '-' if row['num_kept'] is None else f'{row["num_kept"]:,}',
        percent(row['fraction'], 1),
        accuracy_text(row),
        *(percent(row['extra_tests'].get(name)) for name in extra),
        str(row['num_runs']),
        points(row['minus_random']),
        points(row['minus_full']),
      )
    )
  if len(cells) == 1:
    lines = ['No accuracies yet.']
  else:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [_line(row, widths) for row in cells]
    lines.insert(1, '-' * max(map(len, lines)))
  worse = summary.get('worse_than_random', ())
  best = summary.get('best_methods', ())
  last = [summary['advice']] if 'advice' in summary else []
  return '\n'.join([*lines, *worse, *best, *summary['missing'], *last])


def _line(cells: tuple[str, ...], widths: list[int]) -> str:
  first = cells[0].ljust(widths[0])
  rest = (
    cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)
  )
  return '  '.join([first, *rest])


def percent(value: float | None, digits: int = 2) -> str:
  """A fraction in percent, such as '94.51 %'; '-' for None or NaN."""
  if value is None or np.isnan(value):
    return '-'
  return f'{100 * value:.{digits}f} %'


def points(value: float | None) -> str:
  """A difference of fractions in points, such as '+0.52'; '-' for None."""
  return '-' if value is None else f'{100 * value:+.2f}'


def accuracy_text(row: dict[str, Any]) -> str:
  """Mean and deviation over runs, such as '94.51 ± 0.12 %'."""
  if row['std_accuracy'] is None:
    return percent(row['mean_accuracy'])
  mean, std = 100 * row['mean_accuracy'], 100 * row['std_accuracy']
  return f'{mean:.2f} ± {std:.2f} %'
