"""Tests that the report stage writes what the page needs."""

import json

from datadiet.stages import report
from datadiet.workdir import artifacts


def test_the_report_is_made_of_a_finished_workdir(own):
  report.run(own)
  summary = json.loads((own.workdir.report / 'summary.json').read_text())
  assert summary['missing'] == []
  assert (own.workdir.report / 'index.html').exists()
  assert list((own.workdir.report / 'figures').glob('*.png'))
  assert report.plan(own).endswith('index.html (done)')


def test_the_report_is_made_again_while_runs_go_on(own):
  report.run(own)
  folder = own.workdir.run('retrain/new', 0)
  source = own.workdir.run('train', 0) / 'history.csv'
  artifacts.write_bytes(folder / 'history.csv', source.read_bytes())
  assert not report.plan(own).endswith('(done)')
