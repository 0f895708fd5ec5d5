"""Runs the example scripts on an invented workdir."""

import runpy
import sys

from tests import running
from tests.reporting import synthetic


def test_read_results(tmp_path, monkeypatch, capsys):
  dataset = synthetic.make_images()
  workdir = synthetic.make_workdir(tmp_path / 'workdir', dataset)
  script = running.REPOSITORY / 'examples' / 'read_results.py'
  monkeypatch.setattr(sys, 'argv', [str(script), str(workdir.root)])
  made = runpy.run_path(str(script))
  assert len(made['scores']) == dataset.train.num_examples
  assert len(made['hardest']) == 3 * dataset.num_classes
  assert set(made['accuracy'].groups) == set(made['results'].selections)
  printed = capsys.readouterr().out
  for name in ('el2n_step_60_keep_max_36', 'made up grand', 'retrain/random'):
    assert name in printed
  for name in ('accuracy', 'histograms'):
    content = (workdir.root / f'{name}.pdf').read_bytes()
    assert content.startswith(b'%PDF')
