"""What a review changed: before and after, where labels are those of one."""

from typing import Any

import numpy as np
from etils import epath

from datadiet.data.dataset import Dataset
from datadiet.errors import DataDietError
from datadiet.results import Results, load_results
from datadiet.workdir import artifacts, tables


def what_changed(
  results: Results, dataset: Dataset | None
) -> dict[str, Any] | None:
  """Compares a workdir with the one that its labels were reviewed in.

  Args:
    results: of the workdir.
    dataset: its data, for the labels of the test split.

  Returns:
    None where its labels are not of `datadiet apply`. Else a dict that JSON can
    hold: the review, as `datadiet apply` summed it up; missing, why there is
    nothing to compare with, or what else differs, or ''; rows, each with name,
    before and after: the number of suspected label errors, and mean accuracies
    of the scoring runs at their last step, in [0, 1], on the test split and on
    the part of it that `_undisputed` leaves; and num_disputed, how many that
    leaves out.
  """
  review = _review(results)
  if review is None:
    return None
  changed: dict[str, Any] = {
    'review': review,
    'missing': '',
    'rows': [],
    'num_disputed': 0,
  }
  try:
    before = load_results(review['workdir'])
    both = (before, results)
    if before.dataset.get('fingerprint') != results.dataset.get('fingerprint'):
      raise DataDietError(f'{before.workdir.root} is of other data now')
    changed['rows'] = _rows(both)
    if len({_parts(one) for one in both}) > 1:
      changed['missing'] = (
        'Before and after, networks were trained on other parts of the data '
        '(train.folds or train.subset_fraction differ): the differences are '
        'not of the review alone'
      )
    if dataset is not None:
      _add_undisputed(changed, both, dataset.test.labels)
  except DataDietError as error:
    changed['missing'] = f'Nothing to compare with: {error}'
  return changed


def _review(results: Results) -> dict[str, Any] | None:
  """The summary of the review that the labels of a workdir are from."""
  path = results.config.get('dataset', {}).get('labels_path', '')
  if not path:
    return None
  summary = epath.Path(path).expanduser().parent / tables.REVIEW_SUMMARY
  if not summary.exists():
    return None
  review = artifacts.read_json(summary)
  if not isinstance(review, dict) or review.get('kind') != tables.REVIEW_KIND:
    return None
  labels = results.dataset.get('labels_fingerprint')
  return review if review.get('labels_fingerprint') == labels else None


def _parts(results: Results) -> tuple:
  """The settings that say on which part of the data each run trains."""
  train = results.config.get('train', {})
  return train.get('folds', 0), train.get('subset_fraction', 1.0)


def _rows(both: tuple[Results, Results]) -> list[dict[str, Any]]:
  rows = []
  issues = [results.label_issues for results in both]
  if all(map(len, issues)):
    counts = [int(table['is_issue'].sum()) for table in issues]
    rows.append(_row('suspected label errors', counts))
  means = [_mean(results.train_runs['test_accuracy']) for results in both]
  if None not in means:
    rows.append(_row('test accuracy', means))
  return rows


def _add_undisputed(
  changed: dict[str, Any], both: tuple[Results, Results], labels: np.ndarray
) -> None:
  """Adds accuracy on the test examples that `_undisputed` leaves."""
  stored = [_test_predictions(results) for results in both]
  predictions = [found for found in stored if found is not None]
  if len(predictions) < len(both):
    return
  is_left = _undisputed(labels, np.concatenate(predictions))
  if is_left.all() or not is_left.any():
    return
  shares = [
    float((found == labels)[:, is_left].mean()) for found in predictions
  ]
  changed['num_disputed'] = int((~is_left).sum())
  row = _row('test accuracy, disputed labels left out', shares)
  changed['rows'].append(row)


def _row(name: str, values: list) -> dict[str, Any]:
  return {'name': name, 'before': values[0], 'after': values[1]}


def _mean(values) -> float | None:
  known = values.dropna()
  return float(known.mean()) if len(known) else None


def _test_predictions(results: Results) -> np.ndarray | None:
  """int32[runs, M], by the networks of the scoring runs at their last step."""
  path = results.workdir.inspection / tables.TEST_PREDICTIONS
  return artifacts.read_npy(path) if path.exists() else None


def _undisputed(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
  """The examples whose label the networks do not contradict with one voice.

  The audit is of the train split; of the test split this is the nearest thing
  that treats the networks of before and after alike.

  Args:
    labels: int32[M].
    predictions: int32[runs, M], of all networks.

  Returns:
    bool[M].
  """
  is_unanimous = (predictions == predictions[0]).all(0)
  return ~(is_unanimous & (predictions[0] != labels))
