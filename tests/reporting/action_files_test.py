"""Tests of the files that go with the list of what to do."""

import csv
import io
import json

import pytest

from datadiet.reporting import figures, write_report
from datadiet.results import load_results
from datadiet.workdir import artifacts
from tests.results import synthetic


@pytest.mark.slow
def test_the_report_lists_them_with_files_and_filters(
  workdir, dataset, monkeypatch
):
  monkeypatch.setattr(figures, 'render_png', lambda spec: b'')
  synthetic.write_audit(workdir, dataset)
  done = workdir.report / 'actions' / 'copies.csv'
  artifacts.write_csv(done, ['example_index'], [[1]])
  summary = write_report(workdir, dataset)
  (row,) = summary['actions']
  assert row['name'] == 'wrong_labels' and summary['nothing_to_do'] == ''
  assert not done.exists()
  saved = json.loads((workdir.report / 'summary.json').read_text())
  assert saved['actions'] == summary['actions']
  page = (workdir.report / 'index.html').read_text()
  assert row['sentence'] in page
  assert f'href="{row["file"]}"' in page
  assert 'data-array="action-0"' in page and '<select name="action">' in page
  # Before all other sections.
  assert page.index('id="actions"') < page.index('id="summary"')
  content = (workdir.report / row['file']).read_text()
  listed = list(csv.DictReader(io.StringIO(content)))
  assert len(listed) == row['num_examples']
  issues = load_results(workdir).label_issues
  expected = issues.index[issues['is_issue']].tolist()
  assert [int(line['example_index']) for line in listed] == expected
  for line in listed:
    i = int(line['example_index'])
    assert line['id'] == dataset.train.ids[i]
    assert line['label_name'] == dataset.class_names[dataset.train.labels[i]]
    assert line['suggested_label'] == str(issues['suggested_label'][i])
    assert float(line['probability']) == pytest.approx(
      issues['probability'][i], rel=1e-5
    )
