"""Tests the comparison of a workdir with the one it was reviewed in."""

import dataclasses

import numpy as np
import pytest

from datadiet.reporting import report
from datadiet.reporting.changed import what_changed
from datadiet.results import load_results
from datadiet.reviewing import apply_decisions
from datadiet.reviewing.decisions import Decision, Reviewed, write_decisions
from datadiet.workdir import artifacts, tables
from tests.results import synthetic


@pytest.fixture
def both(tmp_path):
  """(data before, workdir before, data after, workdir after)."""
  clean = synthetic.make_images()
  original = clean.train.labels
  wrong = np.where(np.arange(120) < 12, (original + 1) % 3, original)
  noisy = _with_labels(clean, wrong)
  before = synthetic.make_workdir(tmp_path / 'before', noisy)
  synthetic.write_audit(before, noisy)
  decided = {i: Decision('relabel', int(original[i])) for i in range(8)}
  decided |= {8: Decision('drop'), 40: Decision('keep')}
  file = tmp_path / 'decisions.csv'
  write_decisions(file, decided, Reviewed.of(load_results(before)))
  apply_decisions(before.root, file, tmp_path / 'out')
  labels = wrong.copy()
  labels[:8] = original[:8]
  reviewed = _with_labels(clean, labels)
  after = synthetic.make_workdir(tmp_path / 'after', reviewed)
  synthetic.write_audit(after, reviewed)
  config = artifacts.read_json(after.config)
  path = str(tmp_path / 'out' / 'labels.csv')
  config['config']['dataset'] = {'labels_path': path}
  artifacts.write_json(after.config, config)
  return noisy, before, reviewed, after


def _with_labels(clean, labels):
  train = dataclasses.replace(clean.train, labels=labels.astype(np.int32))
  return dataclasses.replace(
    clean, train=train, original_labels=clean.train.labels
  )


def _write_predictions(workdir, labels, wrong_by_run, contradicted):
  """Right but for some, which differ by run, and for those of all runs."""
  found = np.tile(labels, (len(wrong_by_run), 1))
  for run, wrong in enumerate(wrong_by_run):
    found[run, wrong] = (labels[wrong] + 1) % 3
  found[:, contradicted] = (labels[contradicted] + 2) % 3
  path = workdir.inspection / tables.TEST_PREDICTIONS
  artifacts.write_npy(path, found.astype(np.int32))


def test_trainings_on_other_parts_are_told_of(both):
  _, before, reviewed, after = both
  assert what_changed(load_results(after), reviewed)['missing'] == ''
  config = artifacts.read_json(before.config)
  config['config']['train']['folds'] = 3
  artifacts.write_json(before.config, config)
  changed = what_changed(load_results(after), reviewed)
  assert changed['rows'] and 'train.folds' in changed['missing']


def test_before_and_after(both):
  _, before, data, after = both
  labels = data.test.labels
  _write_predictions(before, labels, ([3, 4, 5], [4, 6]), [20, 21])
  _write_predictions(after, labels, ([3], [4]), [20, 21])
  changed = what_changed(load_results(after), data)
  assert changed['review']['relabel'] == 8 and changed['missing'] == ''
  issues, accuracy, cleaned = changed['rows']
  assert issues['name'] == 'suspected label errors'
  assert issues['before'] > issues['after'] > 0
  assert accuracy['before'] == pytest.approx(0.954, abs=1e-3)
  # Two of 40 are left out; of 2 x 38 predictions 5 and then 2 are wrong.
  assert changed['num_disputed'] == 2
  assert cleaned['before'] == pytest.approx(1 - 5 / 76)
  assert cleaned['after'] == pytest.approx(1 - 2 / 76)


def test_a_label_is_contradicted_by_all_or_left(both):
  _, before, data, after = both
  labels = data.test.labels
  _write_predictions(before, labels, ([], []), [20])
  _write_predictions(after, labels, ([], []), [21])
  changed = what_changed(load_results(after), data)
  assert len(changed['rows']) == 2 and changed['num_disputed'] == 0


def test_the_page_and_the_summary_say_it(both):
  _, _, data, after = both
  summary = report.write_report(after, data)
  assert summary['review']['review']['drop'] == 1
  # What was put right is no noise to be found.
  assert 'changed_labels' not in summary
  page = (after.report / 'index.html').read_text()
  assert 'What the last review changed' in page
  assert 'labels changed on purpose</dt>' not in page


def test_a_workdir_before_that_is_gone_is_named(both):
  _, before, data, after = both
  before.root.rename(before.root.parent / 'elsewhere')
  changed = what_changed(load_results(after), data)
  assert str(before.root) in changed['missing'] and changed['rows'] == []
  assert 'Nothing to compare with' in changed['missing']
  report.write_report(after, data)


def test_other_labels_are_no_review(both):
  data, before, _, after = both
  assert what_changed(load_results(before), data) is None
  description = artifacts.read_json(after.dataset)
  description['labels_fingerprint'] = 'other'
  artifacts.write_json(after.dataset, description)
  assert what_changed(load_results(after), data) is None
