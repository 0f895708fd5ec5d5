"""Tests the last line of a report."""

import dataclasses
import re

import numpy as np
import pytest

from datadiet.reporting import format_table, write_report
from datadiet.reporting.advice import advice
from datadiet.reporting.summary import build_summary
from datadiet.results import load_results
from datadiet.selection.recommended import METHODS
from tests.results import synthetic


def _advice(workdir, comparison=()):
  results = load_results(workdir)
  return advice(results, build_summary(results), comparison)


def _with_draws(root, dataset, fractions):
  """A workdir of random subsets alone."""
  workdir = synthetic.artifacts.Workdir.at(root)
  synthetic.write_description(workdir, dataset)
  for fraction in fractions:
    synthetic.write_random(workdir, dataset, round(120 * fraction))
  return workdir


@pytest.mark.parametrize(
  'fractions, said',
  [
    ((0.1,), ['With about a tenth kept']),
    ((0.3, 0.4), ['With about a third kept']),
    ((0.5,), ['With about half kept']),
    ((0.7,), ['With two thirds and more kept']),
    ((0.7, 0.1), ['With about a tenth kept']),
    ((), []),
  ],
)
def test_what_is_known_of_the_smallest_size(tmp_path, dataset, fractions, said):
  text = _advice(_with_draws(tmp_path, dataset, fractions))
  assert re.findall(r'With [^,]+ kept', text) == said
  assert text.endswith('(docs/which_method.md).')


def test_methods_are_those_of_auto(tmp_path, dataset):
  text = _advice(_with_draws(tmp_path, dataset, (0.1, 0.3)))
  for policy, _ in METHODS:
    assert f'({policy})' in text
  names = ', and '.join(policy for policy, _ in METHODS)
  assert f'select.policies=auto takes {names} for' in text


def test_what_was_measured_comes_first(workdir):
  groups = [
    {'fraction': 0.7, 'best': None},
    {'fraction': 0.3, 'best': 'rs2'},
  ]
  text = _advice(workdir, groups)
  assert text.startswith('Measured here (grid.html), which goes before ')
  assert 'best beyond chance: rs2 with 30.0 % kept. With' in text
  text = _advice(workdir, groups[:1])
  assert text.startswith('Measured here (grid.html), no method is above ')
  assert 'Measured here' not in _advice(workdir)


@pytest.mark.parametrize('ratio, is_said', [(2, False), (4, True)])
def test_unequal_classes_are_noticed(tmp_path, dataset, ratio, is_said):
  labels = np.repeat([0, 1], [24 * ratio, 24]).astype(np.int32)
  train = dataclasses.replace(
    dataset.train,
    images=dataset.train.images[: len(labels)],
    labels=labels,
    ids=dataset.train.ids[: len(labels)],
  )
  unequal = dataclasses.replace(dataset, train=train)
  workdir = _with_draws(tmp_path, unequal, ())
  synthetic.write_scores(workdir, unequal, 60)
  text = _advice(workdir)
  assert ('has 4 times as many examples' in text) == is_said
  assert ('select.budget=proportional' in text) == is_said


def test_noisy_labels_come_first(workdir, dataset):
  assert 'may be wrong' not in _advice(workdir)
  synthetic.write_audit(workdir, dataset)
  issues = load_results(workdir).label_issues
  issues['is_issue'] = (issues['rank'] <= 12).astype(int)
  rows = issues.to_csv()
  (workdir.root / 'audit' / 'label_issues.csv').write_text(rows)
  text = _advice(workdir)
  assert text.startswith('10.0 % of the labels may be wrong')


def test_it_is_the_last_line_of_page_and_table(workdir):
  summary = write_report(workdir, None)
  assert format_table(summary).splitlines()[-1] == summary['advice']
  page = (workdir.report / 'index.html').read_text()
  footer = page[page.index('<footer>') : page.index('</footer>')]
  assert summary['advice'] in footer
