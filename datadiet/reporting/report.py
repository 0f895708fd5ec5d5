"""Writes report/: figures, summary.json and index.html."""

from typing import Any

import numpy as np
import pandas as pd

from datadiet.data.dataset import Dataset
from datadiet.errors import DataDietError
from datadiet.reporting import (
  action_files,
  actions,
  analysis,
  figures,
  grid,
  page,
)
from datadiet.reporting.advice import advice
from datadiet.reporting.audit import read_audit
from datadiet.reporting.changed import what_changed
from datadiet.reporting.noise import changed_labels_found
from datadiet.reporting.summary import build_summary, extra_tests, percent
from datadiet.results import Results, load_results
from datadiet.results.inspection import read_inspection
from datadiet.workdir import artifacts, storage
from datadiet.workdir.tables import extra_test_column

# More rows than these make a figure that nobody scrolls through.
_MAX_GRID_CLASSES = 20
_GRID_IMAGES = 10


def write_report(
  workdir: artifacts.Workdir,
  dataset: Dataset | None,
  subset: np.ndarray | None = None,
) -> dict[str, Any]:
  """Writes the report of a workdir, finished or not.

  Args:
    workdir: has the artifacts; report/ is written there.
    dataset: gives the images; without it the galleries are left out and the
      page says so.
    subset: the examples of `train.subset_path`, if they were read before.

  Returns:
    The summary, as from `build_summary` and in report/summary.json, with
    advice, the report's last line; actions, of each name, sentence,
    num_examples, file (below report/; '' without examples) and section (an
    anchor of the page, or ''), and nothing_to_do, the sentence that
    stands where there are none; where labels are of a review with review,
    as from `what_changed`; where
    labels were changed with changed_labels, as from `changed_labels_found`;
    where methods can be compared with best_methods, a sentence a size.

  Raises:
    DataDietError: if there is no workdir, it was made for other data than
      `dataset`, an artifact is damaged, or the report cannot be written.
  """
  results = load_results(workdir)
  if dataset is not None:
    _check_dataset(results, dataset)
  summary = build_summary(results)
  found = None
  if changed := what_changed(results, dataset):
    # What it relabelled was changed, too, but to what is right.
    summary['review'] = changed
  else:
    found = changed_labels_found(results)
  if found is not None:
    summary['changed_labels'] = found
  if dataset is None:
    summary['missing'].append(
      'The images were not available: no thumbnails, no pairs of copies.'
    )
  comparison = _write_grid(results, summary)
  summary['advice'] = advice(results, summary, comparison)
  write_figures(results, summary, dataset)
  audit, inspection = read_audit(results), read_inspection(results)
  todo = actions.find_actions(results, audit, inspection, subset)
  action_files.write_actions(results, todo, audit, dataset)
  summary['actions'] = action_files.as_rows(todo)
  summary['nothing_to_do'] = (
    '' if todo else actions.nothing_to_do(audit, inspection)
  )
  html = page.render_page(results, summary, dataset, actions=todo)
  artifacts.write_bytes(workdir.report / 'index.html', html.encode())
  # Written last, so that a summary means that the rest is complete.
  artifacts.write_json(workdir.report / 'summary.json', summary)
  return summary


def _write_grid(
  results: Results, summary: dict[str, Any]
) -> list[dict[str, Any]]:
  """Writes grid.html and grid.csv where methods can be compared.

  What they say of the best method of each size is added to the summary.

  Returns:
    As `build_grid`.
  """
  comparison = grid.build_grid(results, summary)
  folder = results.workdir.report
  if not comparison:
    for name in ('grid.html', 'grid.csv'):
      storage.remove(folder / name)  # Of retrainings that are gone.
    return []
  summary['best_methods'] = [
    f'{percent(group["fraction"], 1)} kept. {group["verdict"]}'
    for group in comparison
  ]
  names = extra_tests(summary)
  rows = [
    [row[name] for name in grid.COLUMNS]
    + [row['extra_tests'].get(name) for name in names]
    for group in comparison
    for row in group['rows']
  ]
  columns = (*grid.COLUMNS, *map(extra_test_column, names))
  artifacts.write_csv(folder / 'grid.csv', columns, rows)
  html = page.render_grid(results, summary, comparison)
  artifacts.write_bytes(folder / 'grid.html', html.encode())
  return comparison


def _check_dataset(results: Results, dataset: Dataset) -> None:
  expected = results.dataset.get('fingerprint', dataset.fingerprint)
  if expected != dataset.fingerprint:
    raise DataDietError(
      f'{results.workdir.root} was made for data with the fingerprint '
      f'{expected}, but {dataset.name} has {dataset.fingerprint}'
    )


def write_figures(
  results: Results, summary: dict[str, Any], dataset: Dataset | None
) -> None:
  """Writes report/figures/*.png.

  Args:
    results: of the workdir.
    summary: from `build_summary`.
    dataset: gives the images; no grids without it.
  """
  scores = results.scores
  drawn = figures.result_figures(summary['accuracy'], scores)
  if dataset is not None:
    for name in _scores_in_use(results, analysis.score_columns(scores)):
      drawn |= _grids(name, scores, dataset)
  for name, content in drawn.items():
    path = results.workdir.report / 'figures' / f'{name}.png'
    artifacts.write_bytes(path, content)


def _scores_in_use(results: Results, names: list[str]) -> list[str]:
  """The scores that selections read, or the first where there are none."""
  used = {selection.score for selection in results.selections.values()}
  return [name for name in names if name in used] or names[:1]


def _grids(
  name: str, scores: pd.DataFrame, dataset: Dataset
) -> dict[str, bytes]:
  """The figures of a score's highest and lowest examples, by file name."""
  num_classes = min(dataset.num_classes, _MAX_GRID_CLASSES)
  lowest, highest = figures.extreme_examples(
    scores[name].to_numpy(),
    scores['label'].to_numpy(),
    num_classes,
    _GRID_IMAGES,
  )
  note = ''
  if num_classes < dataset.num_classes:
    note = f' (the first {num_classes} of {dataset.num_classes} classes)'
  return {
    f'{end}_{name}': figures.encode_png(
      figures.grid_figure(
        f'{end} {name} of each class{note}',
        dataset.train.images,
        rows,
        list(dataset.class_names[:num_classes]),
        _GRID_IMAGES,
      )
    )
    for end, rows in (('highest', highest), ('lowest', lowest))
  }
