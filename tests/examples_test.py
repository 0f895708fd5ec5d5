"""Runs the example scripts on invented workdirs."""

import runpy
import sys

import pytest

from datadiet.workdir.artifacts import Workdir
from tests import running
from tests.results import synthetic


@pytest.fixture
def run_script(monkeypatch):
  """Runs read_results.py on a workdir, and returns its names."""
  script = running.REPOSITORY / 'examples' / 'read_results.py'

  def run(workdir):
    monkeypatch.setattr(sys, 'argv', [str(script), str(workdir.root)])
    return runpy.run_path(str(script))

  return run


def test_read_results(tmp_path, run_script, capsys):
  dataset = synthetic.make_images()
  workdir = synthetic.make_workdir(tmp_path / 'workdir', dataset)
  made = run_script(workdir)
  assert len(made['scores']) == dataset.train.num_examples
  assert len(made['hardest']) == 3 * dataset.num_classes
  assert set(made['accuracy'].groups) == set(made['results'].selections)
  printed = capsys.readouterr().out
  for name in ('el2n_step_60_keep_max_36', 'made up grand', 'retrain/random'):
    assert name in printed


def test_read_results_with_other_scores(tmp_path, run_script, capsys):
  dataset = synthetic.make_images()
  workdir = Workdir.at(tmp_path)
  synthetic.write_description(workdir, dataset)
  synthetic.write_scores(workdir, dataset, 60, names=('aum', 'grand'))
  hardest = run_script(workdir)['hardest']
  aum = synthetic.mean_scores(dataset, 60)['aum']
  lowest = aum[dataset.train.labels == 1].min()
  assert hardest.loc[hardest['label'] == 1, 'aum'].min() == lowest
  assert 'made up aum' in capsys.readouterr().out


def test_read_results_before_anything_was_scored(tmp_path, run_script):
  workdir = Workdir.at(tmp_path)
  synthetic.write_description(workdir, synthetic.make_images())
  assert run_script(workdir)['scores'].empty
