"""Runs the example script and the notebook on invented workdirs."""

import json
import runpy
import sys

import numpy as np
import pytest

from datadiet.data import load_dataset
from datadiet.settings import to_values
from datadiet.workdir import artifacts
from datadiet.workdir.artifacts import Workdir
from tests import running
from tests.data import formats
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


def test_the_notebook_shows_the_hardest_images(tmp_path, monkeypatch):
  settings = formats.settings('digits', '')
  dataset = load_dataset(settings)
  workdir = synthetic.make_workdir(tmp_path / 'workdir', dataset)
  config = {'config': {'dataset': to_values(settings)}}
  artifacts.write_json(workdir.config, config)
  monkeypatch.setenv('WORKDIR', str(workdir.root))
  notebook = running.REPOSITORY / 'examples' / 'open_a_workdir.ipynb'
  names: dict = {}
  for cell in json.loads(notebook.read_text())['cells']:
    if cell['cell_type'] == 'code':
      assert not cell['outputs'], 'commit it without outputs'
      exec(''.join(cell['source']), names)
  mean = synthetic.mean_scores(dataset, names['results'].steps[-1])
  hardest = mean[names['score']].argmax()
  assert names['hardest'].index[0] == hardest
  first = names['sheet'][:8, :8, 0]
  np.testing.assert_array_equal(first, dataset.train.images[hardest, ..., 0])
