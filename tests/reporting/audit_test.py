"""Tests that the label audit is read, checked and summed up."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from datadiet.errors import DataDietError
from datadiet.reporting import audit as audit_lib
from datadiet.reporting import page, sections
from datadiet.reporting.material import Material
from datadiet.reporting.summary import build_summary
from datadiet.results import load_results
from datadiet.workdir import artifacts
from tests.results import synthetic


def _context(results, audit):
  material = Material(results, build_summary(results), audit)
  return sections.audit_context(material)


@pytest.fixture
def noisy(dataset):
  """`dataset` with the labels of its first 12 examples changed."""
  labels = dataset.train.labels.copy()
  labels[:12] = (labels[:12] + 1) % 3
  train = dataclasses.replace(dataset.train, labels=labels)
  original = dataset.train.labels
  return dataclasses.replace(dataset, train=train, original_labels=original)


@pytest.fixture
def audited(tmp_path, noisy):
  """A workdir of `noisy` with an audit."""
  workdir = synthetic.make_workdir(tmp_path / 'audited', noisy)
  synthetic.write_audit(workdir, noisy)
  return workdir


def test_no_audit(workdir):
  assert audit_lib.read_audit(load_results(workdir)) is None


def test_the_audit_is_read_by_example_index(audited, noisy):
  audit = audit_lib.read_audit(load_results(audited))
  np.testing.assert_array_equal(audit.given_labels, noisy.train.labels)
  suggested = audit.suggested_labels[:12]
  np.testing.assert_array_equal(suggested, noisy.original_labels[:12])
  assert audit.suspicion[:12].min() > 1 > audit.suspicion[12:].max()
  assert audit.is_issue[:12].all()


def test_precision_and_recall(audited, noisy):
  audit = audit_lib.read_audit(load_results(audited))
  found = np.zeros(120, bool)
  found[[0, 1, 2, 50]] = True
  suggested = audit.suggested_labels.copy()
  suggested[0] = noisy.train.labels[0]
  audit = dataclasses.replace(audit, is_issue=found, suggested_labels=suggested)
  summary = audit_lib.audit_summary(audit, noisy.original_labels)
  suspicion = float(audit.suspicion[50])
  assert summary == {
    'num_issues': 4,
    'noise_rate': pytest.approx(4 / 120),
    'expected_precision': pytest.approx((3 * 0.9 + 0.05 * suspicion) / 4),
    'num_changed': 12,
    'precision': pytest.approx(3 / 4),
    'recall': pytest.approx(3 / 12),
    'suggested_right': pytest.approx(2 / 3),
  }
  assert set(audit_lib.audit_summary(audit, None)) == {
    'num_issues',
    'noise_rate',
    'expected_precision',
  }


def test_an_audit_that_finds_nothing(audited, noisy):
  audit = audit_lib.read_audit(load_results(audited))
  nothing = np.zeros(120, bool)
  audit = dataclasses.replace(audit, is_issue=nothing)
  summary = audit_lib.audit_summary(audit, noisy.original_labels)
  assert summary['precision'] is None
  assert summary['recall'] == 0.0


def test_the_audits_own_noise_rate_counts(audited, noisy):
  manifest = {'fingerprint': noisy.fingerprint, 'noise_rate': 0.125}
  artifacts.write_manifest(audited.root / 'audit', manifest)
  audit = audit_lib.read_audit(load_results(audited))
  assert audit_lib.audit_summary(audit, None)['noise_rate'] == 0.125
  artifacts.write_manifest(audited.root / 'audit', {'fingerprint': 'other'})
  with pytest.raises(DataDietError, match='other'):
    audit_lib.read_audit(load_results(audited))


@pytest.mark.parametrize('text', ['', 'After 2.0 <epochs>, far too many'])
def test_the_page_says_what_the_audit_warns_of(audited, noisy, text):
  threshold = {'kind': 'threshold samples'} | (
    {'warning': text} if text else {}
  )
  manifest = {
    'fingerprint': noisy.fingerprint,
    'evidence': ['el2n'],
    'noise_rate': 0.599,
    'threshold': threshold,
  }
  artifacts.write_manifest(audited.root / 'audit', manifest)
  results = load_results(audited)
  html = page.render_page(results, build_summary(results))
  assert '59.90 %' in html
  assert ('not to be relied on' in html) == bool(text)
  assert 'After 2.0 &lt;epochs&gt;, far too many.' in html or not text


def test_confusion_counts_issues(audited):
  audit = audit_lib.read_audit(load_results(audited))
  counts = audit_lib.confusion(audit, 3)
  assert counts.sum() == audit.is_issue.sum()
  pair = (audit.given_labels == 1) & (audit.suggested_labels == 0)
  assert counts[1, 0] == (pair & audit.is_issue).sum() > 0


def test_the_confusion_is_a_table_too(audited):
  results = load_results(audited)
  audit = audit_lib.read_audit(results)
  rows = _context(results, audit)['confused']
  assert sum(count for _, _, count in rows) == audit.is_issue.sum()
  assert [row[2] for row in rows] == sorted((r[2] for r in rows), reverse=True)
  assert ('dog', 'cat', audit_lib.confusion(audit, 3)[1, 0]) in rows
  html = page.render_page(results, build_summary(results))
  assert 'Suspects by given and suggested label"><table>' in html


@pytest.mark.parametrize(
  'old, new, message',
  [
    ('suspicion', 'suspect', 'lacks the columns suspicion'),
    ('\n5,', '\n500,', 'outside 0 to 119'),
  ],
)
def test_damaged_audits_are_refused(audited, old, new, message):
  path = audited.root / 'audit' / 'label_issues.csv'
  text = path.read_text()
  assert old in text
  path.write_text(text.replace(old, new, 1))
  with pytest.raises(DataDietError, match=message):
    audit_lib.read_audit(load_results(audited))


def test_suspects_without_suggestions(audited, noisy):
  path = audited.root / 'audit' / 'label_issues.csv'
  table = pd.read_csv(path, dtype=str)
  table['suggested_label'] = ''
  path.write_text(table.to_csv(index=False))
  results = load_results(audited)
  audit = audit_lib.read_audit(results)
  assert (audit.suggested_labels == -1).all()
  assert not audit_lib.confusion(audit, 3).any()
  numbers = audit_lib.audit_summary(audit, noisy.original_labels)
  assert numbers['suggested_right'] is None and numbers['recall'] == 1
  suspects = _context(results, audit)['suspects']
  assert {row['suggested'] for row in suspects} == {'-'}
  html = page.render_page(results, build_summary(results))
  assert 'data-array="suggested_labels"' not in html
  assert 'data-chart="confusion"' not in html


def test_an_audit_that_finds_nothing_still_has_a_ranking(audited):
  path = audited.root / 'audit' / 'label_issues.csv'
  table = pd.read_csv(path, dtype=str)
  table['is_issue'] = '0'
  path.write_text(table.to_csv(index=False))
  results = load_results(audited)
  html = page.render_page(results, build_summary(results))
  assert 'No label is declared wrong.' in html
  assert 'Show the most suspicious labels in the gallery' in html
  assert 'id="suspects-caption"' not in html


def test_lists_that_are_cut_say_so(audited, monkeypatch):
  results = load_results(audited)
  html = page.render_page(results, build_summary(results))
  assert 'are listed' not in html
  monkeypatch.setattr(sections, '_MAX_SUSPECTS', 2)
  html = page.render_page(results, build_summary(results))
  assert 'Only the first 2 are listed' in html
  assert 'Only the 2 most frequent of ' in html
