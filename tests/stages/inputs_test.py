"""Tests the order of rows in files that users give."""

import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.stages import inputs
from tests.field.selections_test import _context


def _given(tmp_path, setting, **arrays):
  """A context whose setting names a .npz of some arrays."""
  path = tmp_path / 'mine.npz'
  np.savez(path, **arrays)
  return _context(
    tmp_path,
    (60, 60, 60),
    **{f'select__{setting}': str(path), 'select__policies': ('k_center',)},
  )


@pytest.fixture
def dataset(tmp_path):
  return _context(tmp_path, (60, 60, 60)).dataset


def test_rows_with_ids_are_put_in_order(tmp_path, dataset):
  order = np.random.default_rng(0).permutation(180)
  rows = np.arange(360.0).reshape(180, 2)
  ids = dataset.train.ids[order]
  context = _given(tmp_path, 'embeddings_path', ids=ids, rows=rows[order])
  file = inputs.read_embedding_file(context.config, dataset)
  np.testing.assert_array_equal(file.embeddings, rows)
  assert file.name == 'mine'
  context = _given(tmp_path, 'scores_path', ids=ids, score=rows[order, 0])
  file = inputs.read_score_file(context.config, dataset)
  np.testing.assert_array_equal(file.scores, rows[:, 0])
  assert file.name == 'mine'


def _other(ids, number):
  ids = ids.astype(object)
  ids[7] = number
  return ids.astype(str)


@pytest.mark.parametrize(
  'change, message',
  [
    (lambda ids: {'ids': ids[1:]}, '179 ids, 179 of them distinct, without'),
    (lambda ids: {'ids': _other(ids, ids[8])}, '180 ids, 179 .* distinct'),
    (
      lambda ids: {'ids': _other(ids, 'cat')},
      "without .*, with 'cat'; allowed",
    ),
    (lambda ids: {'rows': np.ones((179, 2))}, 'a row for each id'),
    (lambda ids: {'more': ids}, 'holds ids, more, rows; allowed: one array'),
    (lambda ids: {'ids': ids.astype(object)}, 'holds Python objects'),
  ],
)
def test_other_ids_are_refused(tmp_path, dataset, change, message):
  arrays = {'ids': dataset.train.ids, 'rows': np.ones((180, 2))}
  arrays |= change(dataset.train.ids)
  context = _given(tmp_path, 'embeddings_path', **arrays)
  with pytest.raises(DataDietError, match=message):
    inputs.read_embedding_file(context.config, dataset)


def test_an_archive_without_ids_is_refused(tmp_path, dataset):
  context = _given(tmp_path, 'embeddings_path', rows=np.ones((180, 2)))
  with pytest.raises(DataDietError, match='holds rows; allowed: one array and'):
    inputs.read_embedding_file(context.config, dataset)


def test_rows_in_another_order_are_warned_of(tmp_path, dataset, caplog):
  rng = np.random.default_rng(1)
  labels = dataset.train.labels
  rows = np.eye(3)[labels] + rng.normal(size=(180, 3)) / 3 + 1000
  path = tmp_path / 'mine.npy'
  told = []
  for order in (np.arange(180), rng.permutation(180)):
    np.save(path, rows[order])
    context = _context(
      tmp_path,
      (60, 60, 60),
      select__embeddings_path=str(path),
      select__policies=('k_center',),
    )
    caplog.clear()
    with caplog.at_level('WARNING', logger='absl'):
      inputs.read_embedding_file(context.config, dataset)
    told.append(caplog.text)
  assert not told[0]
  assert 'of 180 rows the nearest other one has the same label for' in told[1]
  assert 'by chance it would for 60; are they in the order' in told[1]
