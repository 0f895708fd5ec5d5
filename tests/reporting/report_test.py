"""Tests that a report is written, also of unfinished workdirs."""

import dataclasses
import html
import io
import json
import shutil

import numpy as np
import pytest
from PIL import Image

from datadiet.errors import DataDietError
from datadiet.reporting import figures, write_report
from datadiet.reporting.summary import build_summary
from datadiet.results import load_results
from datadiet.workdir import artifacts
from tests.results import synthetic


def _text(workdir) -> str:
  return (workdir.report / 'index.html').read_text()


def test_everything_is_written(workdir, dataset):
  summary = write_report(workdir, dataset)
  assert json.loads((workdir.report / 'summary.json').read_text()) == summary
  assert summary['missing'] == []
  names = {path.name for path in (workdir.report / 'figures').iterdir()}
  grids = {'highest_el2n.png', 'lowest_el2n.png'}
  assert names == {'accuracy.png', 'histograms.png'} | grids
  for path in (workdir.report / 'figures').iterdir():
    image = Image.open(io.BytesIO(path.read_bytes()))
    assert np.asarray(image.convert('L')).std() > 1
  assert 'el2n_step_60_keep_max_36' in _text(workdir)
  assert '95.20 ± 0.20 %' in html.unescape(_text(workdir))


@pytest.mark.usefixtures('no_pictures')
def test_without_images_there_are_no_galleries(workdir):
  summary = write_report(workdir, None)
  assert 'images were not available' in ' '.join(summary['missing'])
  assert 'images were not available' in _text(workdir)
  assert not (workdir.report / 'figures' / 'highest_el2n.png').exists()


@pytest.mark.usefixtures('no_pictures')
def test_an_empty_workdir_has_a_page_that_says_so(tmp_path, dataset):
  workdir = artifacts.Workdir.at(tmp_path)
  synthetic.write_description(workdir, dataset)
  write_report(workdir, dataset)
  for sentence in ('Nothing was scored yet.', 'No training run is finished.'):
    assert sentence in _text(workdir)


@pytest.fixture
def no_pictures(monkeypatch):
  """Spares the time that drawing takes, where it is not what is tested."""
  monkeypatch.setattr(figures, 'render_png', lambda spec: b'')


@pytest.mark.usefixtures('no_pictures')
@pytest.mark.parametrize('part', ['train', 'scores', 'selections', 'retrain'])
def test_any_part_may_be_missing(workdir, dataset, part):
  shutil.rmtree(workdir.root / part)
  assert write_report(workdir, dataset)['missing']


def test_other_data_is_refused_and_nothing_written(workdir):
  other = synthetic.make_images(num_examples=121)
  with pytest.raises(DataDietError, match=other.fingerprint):
    write_report(workdir, other)
  assert not workdir.report.exists()


@pytest.mark.usefixtures('no_pictures')
def test_names_are_escaped(tmp_path):
  name = "<script>alert('x')</script>&\"</script><!--"
  dataset = synthetic.make_images(class_names=('a', name))
  ids = dataset.train.ids.astype(object)
  ids[0] = '<img src=x>'
  train = dataclasses.replace(dataset.train, ids=ids.astype(str))
  dataset = dataclasses.replace(dataset, train=train)
  workdir = synthetic.make_workdir(tmp_path, dataset)
  write_report(workdir, dataset)
  assert '<script>alert' not in _text(workdir)
  assert '<img src=x>' not in _text(workdir)


@pytest.mark.usefixtures('no_pictures')
def test_a_report_can_be_written_again(workdir, dataset):
  first = write_report(workdir, dataset)
  assert write_report(workdir, dataset) == first
  built = build_summary(load_results(workdir))
  # What the report adds is its first lines and its last.
  added = {key: first[key] for key in ('actions', 'nothing_to_do', 'advice')}
  assert built | added == first
