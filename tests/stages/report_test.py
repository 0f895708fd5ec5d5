"""Tests that the report stage writes what the page needs."""

import json

from datadiet.stages import report


def test_the_report_is_made_of_a_finished_workdir(own):
  report.run(own)
  summary = json.loads((own.workdir.report / 'summary.json').read_text())
  assert summary['missing'] == []
  assert (own.workdir.report / 'index.html').exists()
  assert list((own.workdir.report / 'figures').glob('*.png'))
  assert report.plan(own).endswith('index.html (done)')
