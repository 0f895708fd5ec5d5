"""Tests that the report stage writes what the page needs."""

import dataclasses
import json
import sys

from datadiet.reporting import sections
from datadiet.settings import plugins
from datadiet.stages import report
from datadiet.workdir import artifacts

_SECTION = """
from datadiet.reporting.sections import SECTIONS, Section

SECTIONS['mine'] = Section('Mine', '<p>Of my own</p>', lambda material: {})
"""


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


def test_the_report_is_made_again_with_a_plugin_and_where_that_changes(
  own, tmp_path, monkeypatch
):
  report.run(own)
  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(sys, 'path', [*sys.path])
  monkeypatch.setattr(sys, 'modules', {**sys.modules})
  monkeypatch.setattr(sections, 'SECTIONS', {**sections.SECTIONS})
  module = tmp_path / 'my_section.py'
  module.write_text(_SECTION)
  plugins.load(['my_section'])
  config = dataclasses.replace(own.config, plugins=('my_section',))
  context = dataclasses.replace(own, config=config)
  assert not report.plan(context).endswith('(done)')
  report.run(context)
  assert '<p>Of my own</p>' in (own.workdir.report / 'index.html').read_text()
  assert report.plan(context).endswith('(done)')
  module.write_text(_SECTION.replace('my own', 'another'))
  assert not report.plan(context).endswith('(done)')
