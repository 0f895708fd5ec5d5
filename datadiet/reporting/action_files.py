"""What to do, as numbers and as files of examples."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from datadiet.data.dataset import Dataset
from datadiet.reporting.actions import Action
from datadiet.reporting.audit import Audit
from datadiet.results import Results
from datadiet.workdir import artifacts, storage


def as_rows(actions: Sequence[Action]) -> list[dict[str, Any]]:
  """Actions as summary.json has them.

  Of each: name, sentence, num_examples, file ('' without examples) and section
  ('' without one).
  """
  return [
    {
      'name': action.name,
      'sentence': action.sentence,
      'num_examples': len(action.example_index),
      'file': action.file,
      'section': action.section,
    }
    for action in actions
  ]


def write_actions(
  results: Results,
  actions: Sequence[Action],
  audit: Audit | None,
  dataset: Dataset | None,
) -> None:
  """Writes report/actions/<name>.csv, the examples of each action.

  Columns: example_index, id, label, label_name; with an audit suggested_label,
  suggested_label_name and probability, empty where there is none.

  Args:
    results: of the workdir.
    actions: from `find_actions`.
    audit: of its labels, if there is one.
    dataset: gives ids and labels where nothing was scored.
  """
  table = results.scores[['id', 'label']] if len(results.scores) else None
  if table is None and dataset is not None:
    train = dataset.train
    table = pd.DataFrame({'id': train.ids, 'label': train.labels})
  if table is None:
    return
  actions = [action for action in actions if len(action.example_index)]
  kept = {f'{action.name}.csv' for action in actions}
  folder = results.workdir.report / 'actions'
  for path in folder.iterdir() if folder.exists() else ():
    if path.name not in kept:
      storage.remove(path)  # Of what has been done since.
  names = results.class_names
  columns = ['example_index', 'id', 'label', 'label_name']
  if audit is not None:
    columns += ['suggested_label', 'suggested_label_name', 'probability']
  for action in actions:
    rows = []
    for i in action.example_index.tolist():
      label = int(table['label'][i])
      row = [i, table['id'][i], label, names[label]]
      if audit is not None:
        suggested = int(audit.suggested_labels[i])
        probability = audit.probability[i]
        row += [suggested, names[suggested]] if suggested >= 0 else ['', '']
        row.append(f'{probability:.6g}' if np.isfinite(probability) else '')
      rows.append(row)
    path = results.workdir.report / action.file
    artifacts.write_csv(path, columns, rows)
