"""Tests the last line of a report."""

import pytest

from datadiet.reporting import format_table, write_report
from datadiet.reporting.advice import advice
from datadiet.reporting.summary import build_summary
from datadiet.results import load_results
from tests.results import synthetic


def _advice(workdir):
  results = load_results(workdir)
  return advice(results, build_summary(results))


def test_small_subsets_get_coverage(workdir):
  assert 'a third and less kept' in _advice(workdir)
  assert 'coverage (ccs)' in _advice(workdir)


@pytest.mark.parametrize('fractions', [(0.5,), ()])
def test_larger_ones_and_none_at_all_do_not(tmp_path, dataset, fractions):
  workdir = synthetic.artifacts.Workdir.at(tmp_path)
  synthetic.write_description(workdir, dataset)
  for fraction in fractions:
    synthetic.write_random(workdir, dataset, round(120 * fraction))
  assert 'half and more kept' in _advice(workdir)


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
