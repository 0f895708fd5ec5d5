"""Tests further test splits through all stages: results, table and page."""

import numpy as np
import pytest

from datadiet import main
from datadiet.data import load_dataset
from datadiet.errors import DataDietError
from datadiet.results import load_results
from datadiet.workdir import artifacts
from tests import running
from tests.data import formats

STAGES = ['train', 'score', 'select', 'retrain', 'report']


@pytest.fixture(scope='module')
def dark(tmp_path_factory):
  """The test split of digits with half the light, as an extra test."""
  folder = tmp_path_factory.mktemp('dark')
  test = load_dataset(formats.settings('digits', '')).test
  np.save(folder / 'dark.npy', test.images // 2)
  np.save(folder / 'labels.npy', test.labels)
  return folder / 'dark.npy'


def _config(path, **changes):
  config = running.tiny_config(
    train__num_steps=22,
    train__schedule_steps=22,
    train__num_runs=1,
    score__steps=(22,),
    score__names=('el2n',),
    retrain__num_runs=2,
    **changes,
  )
  config.dataset.extra_tests = {'dark': str(path)}
  return config


@pytest.fixture(scope='module')
def workdir(dark, tmp_path_factory):
  folder = tmp_path_factory.mktemp('extra') / 'workdir'
  main.run(_config(dark), str(folder), STAGES)
  return folder


def test_results_table_and_page_have_its_accuracies(workdir):
  results = load_results(workdir)
  tables = results.extra_test_accuracies
  assert set(tables) == {
    'train',
    'el2n_step_22_keep_max_719',
    'random_719',
  }
  assert tables['random_719'].index.tolist() == [0, 1]
  column = results.history['test_accuracy_dark'].dropna()
  assert len(column) == 5  # One evaluation a run.
  summary = artifacts.read_json(results.workdir.report / 'summary.json')
  for row in summary['accuracy']:
    name = {'full data': 'train'}.get(row['selection'], row['selection'])
    mean = tables[name]['dark'].mean()
    assert row['extra_tests'] == {'dark': pytest.approx(mean)}
    assert 0 < mean < 1
  page = (workdir / 'report' / 'index.html').read_text()
  assert '<th scope="col">dark</th>' in page
  assert f'{100 * tables["random_719"]["dark"].mean():.2f} %' in page


def test_a_workdir_keeps_its_splits(workdir, dark, tmp_path):
  images = np.load(dark)
  np.save(tmp_path / 'dark.npy', images)
  np.save(tmp_path / 'labels.npy', np.load(dark.parent / 'labels.npy'))
  # The same images may lie elsewhere.
  main.run(_config(tmp_path / 'dark.npy'), str(workdir), ['train'])
  np.save(tmp_path / 'dark.npy', images // 2)
  with pytest.raises(DataDietError, match="another extra test 'dark'"):
    main.run(_config(tmp_path / 'dark.npy'), str(workdir), ['train'])
  without = _config(dark)
  without.dataset.extra_tests = {}
  with pytest.raises(DataDietError, match='here none.*use another --workdir'):
    main.run(without, str(workdir), ['train'])
