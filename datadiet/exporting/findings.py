"""What a workdir found out of each example, as the columns of one table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from datadiet.errors import DataDietError
from datadiet.exporting.subset import Subset
from datadiet.results.inspection import read_inspection


def findings(subset: Subset) -> pd.DataFrame:
  """One row an example of the whole train split, in canonical order.

  Returns:
    Indexed by example_index. Columns: id, label, label_name; kept, whether the
    selection has it; all mean scores of the step (float32); where labels were
    audited suspicion, probability (float32), is_issue, suggested_label and
    suggested_label_name (null where none is); where images were inspected
    flags, what is wrong with the image, separated by ';'.

  Raises:
    DataDietError: if nothing was scored.
  """
  results = subset.results
  table = results.scores_at(subset.step)
  if not len(table):
    raise DataDietError(
      f'{results.workdir.root} has no scores yet; run the stages train and '
      'score'
    )
  is_kept = np.zeros(len(table), bool)
  is_kept[subset.example_index] = True
  names = np.array(results.dataset['class_names'])
  table.insert(2, 'label_name', names[table['label']])
  table.insert(3, 'kept', is_kept)
  if len(results.label_issues):
    issues = results.label_issues.reindex(table.index)
    for name in ('suspicion', 'probability'):
      table[name] = issues[name].astype(np.float32)
    table['is_issue'] = issues['is_issue'].eq(True)
    suggested = issues['suggested_label']
    table['suggested_label'] = suggested
    named = issues['suggested_label_name']
    table['suggested_label_name'] = named.mask(suggested.isna())
  inspection = read_inspection(results)
  if inspection is not None:
    table['flags'] = _joined(inspection.flags, len(table))
  return table


def _joined(flags: Mapping[str, np.ndarray], num_examples: int) -> list[str]:
  """For each example the names of its flags: 'dark;blurry'."""
  names: list[list[str]] = [[] for _ in range(num_examples)]
  for name, has in flags.items():
    for index in np.flatnonzero(has):
      names[index].append(name)
  return [';'.join(one) for one in names]


def attributes(subset: Subset) -> list[dict[str, Any]]:
  """The findings on each kept example as JSON has them, in order.

  Returns:
    For each example_index and the columns of `findings`, without what every
    format says in a way of its own (the label, `kept`) and what is missing.
  """
  table = findings(subset).drop(columns=['label', 'label_name', 'kept'])
  kept = table.loc[subset.example_index].reset_index()
  return [
    {name: value for name, value in row.items() if not pd.isna(value)}
    for row in kept.astype(object).to_dict('records')
  ]
