"""How many of the labels that were changed on purpose each score finds."""

from typing import Any

import numpy as np

from datadiet.reporting import analysis
from datadiet.results import Results

# The share of examples, hardest first, that is searched.
TOP_FRACTION = 0.2


def changed_labels_found(results: Results) -> dict[str, Any] | None:
  """The share of changed labels among the hardest examples by each score.

  Args:
    results: of the workdir.

  Returns:
    None if no labels were changed or nothing was scored. Else num_changed,
    base_rate (share of the examples with a changed label), top_fraction, and
    scores: for each with a hard end, the best first, score, precision (share
    of changed labels among the top_fraction hardest), recall (share of all
    changed labels that are there) and times_base_rate.
  """
  if results.original_labels is None or not results.steps:
    return None
  table, statements = results.scores, results.score_info()
  changed = table['label'].to_numpy() != results.original_labels
  if not changed.any():
    return None
  num_top = max(1, round(TOP_FRACTION * len(changed)))
  rows = []
  for name in analysis.score_columns(table):
    higher_is = statements.get(name, {}).get('higher_is')
    if higher_is not in ('harder', 'easier'):
      continue
    values = table[name].to_numpy(np.float64)
    hardness = values if higher_is == 'harder' else -values
    top = np.argsort(-hardness, kind='stable')[:num_top]
    found = int(changed[top].sum())
    rows.append(
      {
        'score': name,
        'precision': found / num_top,
        'recall': found / int(changed.sum()),
        'times_base_rate': found / num_top / changed.mean(),
      }
    )
  rows.sort(key=lambda row: -row['precision'])
  return {
    'num_changed': int(changed.sum()),
    'base_rate': float(changed.mean()),
    'top_fraction': TOP_FRACTION,
    'scores': rows,
  }


def format_noise(found: dict[str, Any]) -> str:
  """The same as a plain-text table, to be printed.

  Args:
    found: of `changed_labels_found`.
  """
  lines = [
    f'{found["num_changed"]:,} labels were changed on purpose '
    f'({100 * found["base_rate"]:.1f} %). Among the '
    f'{100 * found["top_fraction"]:.0f} % hardest examples:'
  ]
  lines += [
    f'  {row["score"]:<18} {100 * row["precision"]:5.1f} % are changed '
    f'({row["times_base_rate"]:.2f} times the base rate), '
    f'{100 * row["recall"]:5.1f} % of all changed'
    for row in found['scores']
  ]
  return '\n'.join(lines)
