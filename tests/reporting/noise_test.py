"""Tests how many changed labels each score is said to find."""

import dataclasses

import numpy as np
import pytest

from datadiet.reporting import format_noise, write_report
from datadiet.reporting.noise import changed_labels_found
from datadiet.results import load_results
from datadiet.workdir import artifacts
from tests.results import synthetic


@pytest.fixture
def noisy(dataset):
  """`dataset` with 30 of its 120 labels changed, the hardest first."""
  hardest = np.argsort(-synthetic.mean_scores(dataset, 60)['el2n'])[:30]
  labels = dataset.train.labels.copy()
  labels[hardest] = (labels[hardest] + 1) % 3
  train = dataclasses.replace(dataset.train, labels=labels)
  original = dataset.train.labels
  return dataclasses.replace(dataset, train=train, original_labels=original)


@pytest.fixture
def workdir(tmp_path, noisy):
  return synthetic.make_workdir(tmp_path / 'noisy', noisy)


def test_shares_are_those_of_the_hardest(workdir, noisy):
  results = load_results(workdir)
  found = changed_labels_found(results)
  assert found['num_changed'] == 30 and found['base_rate'] == 0.25
  by_name = {row['score']: row for row in found['scores']}
  # 24 of 120 are looked at.
  assert by_name['el2n']['precision'] == 1.0
  assert by_name['el2n']['recall'] == pytest.approx(24 / 30)
  assert by_name['el2n']['times_base_rate'] == pytest.approx(4.0)
  changed = noisy.train.labels != noisy.original_labels
  lowest = np.argsort(results.scores['aum'].to_numpy(), kind='stable')[:24]
  assert by_name['aum']['precision'] == pytest.approx(changed[lowest].mean())
  # Neither end of it is hard.
  assert 'variability' not in by_name
  precisions = [row['precision'] for row in found['scores']]
  assert precisions == sorted(precisions, reverse=True)


def test_nothing_is_said_where_no_labels_were_changed(workdir, noisy):
  workdir.original_labels.unlink()
  assert changed_labels_found(load_results(workdir)) is None
  artifacts.write_npy(workdir.original_labels, noisy.train.labels)
  assert changed_labels_found(load_results(workdir)) is None


@pytest.mark.parametrize('has_images', [True, False])
def test_the_report_says_it(workdir, noisy, has_images):
  synthetic.write_audit(workdir, noisy)
  summary = write_report(workdir, noisy if has_images else None)
  stored = artifacts.read_json(workdir.report / 'summary.json')
  assert stored['changed_labels'] == summary['changed_labels']
  text = format_noise(summary['changed_labels'])
  assert '30 labels were changed on purpose (25.0 %)' in text
  assert 'el2n               100.0 % are changed (4.00 times' in text
  page = (workdir.report / 'index.html').read_text()
  assert 'times the base rate' in page and '4.00' in page
  assert '<dt>precision</dt>' in page
  assert 'data-array="original_labels"' in page
