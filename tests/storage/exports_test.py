"""Tests exports of a workdir and of data on local object stores."""

import numpy as np
import pytest

from datadiet import load_results
from datadiet.data import load_dataset
from datadiet.errors import DataDietError
from datadiet.exporting import export_selection
from datadiet.settings import to_values
from datadiet.workdir import artifacts
from tests.data import formats
from tests.results import synthetic
from tests.storage import stores

STEP = 60
KEPT = np.array([1, 4, 8])


@pytest.fixture
def workdir(store, tmp_path):
  """A workdir on a store, of an image folder there."""
  counts = {
    f'{split}/{name}': 5 for split in ('train', 'test') for name in ('a', 'b')
  }
  formats.write_image_folder(tmp_path / 'photos', counts)
  store.files.put(
    f'{tmp_path}/photos/', f'{stores.BUCKET}/photos/', recursive=True
  )
  settings = formats.settings('image_folder', f'{store.root}/photos')
  dataset = load_dataset(settings)
  made = artifacts.Workdir.at(f'{store.root}/exported')
  config = {'dataset': to_values(settings)}
  artifacts.write_json(made.config, {'config': config})
  artifacts.write_json(made.dataset, dataset.description())
  synthetic.write_scores(made, dataset, STEP)
  synthetic.write_selection(made, dataset, 'some', KEPT)
  return str(made.root)


def test_results_are_read(workdir):
  results = load_results(workdir)
  assert results.steps == [STEP]
  assert results.selections['some'].kept(0).tolist() == KEPT.tolist()
  assert len(results.scores) == results.num_examples == 10


def test_images_are_fetched(workdir, tmp_path):
  output = export_selection(workdir, 'some', 'image_folder', tmp_path / 'out')
  found = sorted(path.relative_to(output) for path in output.glob('*/*/*.png'))
  assert len(found) == len(KEPT)
  for path in found:
    original = tmp_path / 'photos' / path
    assert (output / path).read_bytes() == original.read_bytes()


@pytest.mark.parametrize(
  'name, link', [('image_folder', True), ('torch', False)]
)
def test_what_needs_local_files_is_refused(workdir, tmp_path, name, link):
  with pytest.raises(
    DataDietError, match='local files, and those of .* are not'
  ):
    export_selection(workdir, 'some', name, tmp_path / 'out', link=link)


def test_a_workdir_that_is_not_there_is_said(store):
  with pytest.raises(DataDietError, match='missing does not exist'):
    load_results(f'{store.root}/missing')
