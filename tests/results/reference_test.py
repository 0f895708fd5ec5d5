"""Tests of the scores that come with the package."""

import numpy as np
import pytest

import datadiet
from datadiet.errors import DataDietError
from datadiet.results import reference
from tools import pack_reference as packing


@pytest.mark.parametrize('name', reference.reference_names())
def test_what_comes_with_the_package(name):
  scores = datadiet.load_reference_scores(name)
  assert scores.index.is_unique and np.isfinite(scores.to_numpy()).all()
  assert set(scores.attrs['scores']) == set(scores.columns)
  if name.startswith('cifar10_'):
    expected = {f'train_{number:05}' for number in range(50_000)}
    assert set(scores.index) == expected


def test_scores_of_a_workdir_come_back_by_id(workdir, tmp_path, monkeypatch):
  results = datadiet.load_results(workdir)
  name = next(iter(results.score_info()))
  path = tmp_path / 'mine.npz'
  path.write_bytes(packing.pack(workdir.root, None, [name]))
  monkeypatch.setattr(reference, '_folder', lambda: tmp_path)
  assert reference.reference_names() == ['mine']
  found = datadiet.load_reference_scores('mine')
  expected = results.scores.set_index('id')[name]
  ids = expected.index[::-1]
  np.testing.assert_array_equal(found.loc[ids, name], expected.loc[ids])
  assert found.attrs['dataset'] == results.dataset['name']
  assert '_dir' not in str(found.attrs['config'])


def test_an_unknown_name():
  with pytest.raises(DataDietError, match="no reference scores 'x'; allowed: "):
    datadiet.load_reference_scores('x')
