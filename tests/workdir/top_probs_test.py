"""Tests of predictions that keep the most probable classes of each example."""

import numpy as np
import pytest
from etils import epath

from datadiet.errors import DataDietError
from datadiet.workdir import artifacts, top_probs
from datadiet.workdir.top_probs import TopProbs

NUM, CLASSES, KEPT = 300, 50, 7


@pytest.fixture
def given(monkeypatch):
  """Whole predictions, and what is kept of them."""
  monkeypatch.setattr(top_probs, 'NUM_KEPT', KEPT)
  rng = np.random.default_rng(0)
  whole = rng.dirichlet(np.full(CLASSES, 0.2), NUM).astype(np.float32)
  return whole, top_probs.keep_most_probable([whole[:100], whole[100:]])


def test_rows_have_the_most_probable_classes(given):
  whole, kept = given
  assert kept.classes.dtype == np.int16 and kept.classes.shape == (NUM, KEPT)
  assert kept.shape == (NUM, CLASSES) and len(kept) == NUM
  rows = kept[:]
  assert rows.dtype == np.float32
  everyone = np.arange(NUM)
  order = np.argsort(-whole, 1)
  for rank in range(KEPT):
    best = order[:, rank]
    np.testing.assert_array_equal(rows[everyone, best], whole[everyone, best])
  np.testing.assert_array_equal(kept.argmax(1), whole.argmax(1))
  np.testing.assert_array_equal(rows.argmax(1), whole.argmax(1))
  np.testing.assert_allclose(rows.sum(1), 1, rtol=1e-5)
  # What is left is the same for all others.
  np.put_along_axis(rows, kept.classes, np.nan, 1)
  np.testing.assert_array_equal(np.nanmin(rows, 1), np.nanmax(rows, 1))


def test_it_is_indexed_as_an_array(given):
  _, kept = given
  rows = np.asarray(kept)
  chosen = np.array([5, 3, 3, 299])
  is_even = np.arange(NUM) % 2 == 0
  for key in (slice(10, 20), slice(290, 400), chosen, is_even, 7):
    np.testing.assert_array_equal(kept[key], rows[key])
  np.testing.assert_array_equal(kept[chosen, 4], rows[chosen, 4])
  everyone = np.arange(NUM)
  third = kept.classes[:, 2].astype(int)
  for columns in (third, (third + 1) % CLASSES):
    np.testing.assert_array_equal(
      kept[everyone, columns], rows[everyone, columns]
    )
  assert [*kept.blocks()] == [slice(0, 2**18 // CLASSES)]
  with pytest.raises(TypeError, match='most probable class of each row'):
    kept.argmax(0)


def test_all_classes_kept_are_the_whole(given, monkeypatch):
  whole, _ = given
  monkeypatch.setattr(top_probs, 'NUM_KEPT', 1000)
  kept = top_probs.keep_most_probable([whole])
  np.testing.assert_array_equal(kept[:], whole)


def test_sums_above_one_leave_nothing():
  kept = TopProbs(np.array([[1, 0]]), np.array([[0.9, 0.2]], np.float32), 4)
  np.testing.assert_array_equal(kept[:], np.float32([[0.2, 0.9, 0, 0]]))


def test_files_are_read_back_and_take_each_others_place(given, tmp_path):
  whole, kept = given
  folder = epath.Path(tmp_path)
  assert not top_probs.are_in(folder)
  with pytest.raises(DataDietError, match='pred_probs.npy does not exist'):
    top_probs.read(folder, NUM, CLASSES)
  top_probs.write(folder, kept)
  assert top_probs.are_in(folder) and not top_probs.are_whole_in(folder)
  checksums = {'top_classes': artifacts.checksum(kept.classes)}
  again = top_probs.read(folder, NUM, CLASSES, {'checksums': checksums})
  assert isinstance(again, TopProbs)
  np.testing.assert_array_equal(again[:], kept[:])
  with pytest.raises(DataDietError, match='top_classes.npy is damaged'):
    manifest = {'checksums': {'top_classes': 1}}
    top_probs.read(folder, NUM, CLASSES, manifest)
  with pytest.raises(DataDietError, match='has 299 examples'):
    top_probs.read(folder, NUM - 1, CLASSES)
  top_probs.write(folder, whole)
  assert [path.name for path in tmp_path.iterdir()] == ['pred_probs.npy']
  np.testing.assert_array_equal(top_probs.read(folder, NUM, CLASSES), whole)
  top_probs.write(folder, kept)
  assert sorted(path.name for path in tmp_path.iterdir()) == [
    'top_classes.npy',
    'top_probs.npy',
  ]


def test_types_of_class_numbers():
  assert top_probs.class_type(2**15 - 1) == np.int16
  assert top_probs.class_type(2**15) == np.int32


def test_the_most_probable_are_kept_where_that_takes_less():
  sizes = [num for num in range(1, 2_000) if top_probs.is_less_than_whole(num)]
  # Six bytes for each of 20 classes, in place of four for each of all.
  assert sizes == list(range(31, 2_000))


def test_predictions_of_the_other_kind_are_known():
  assert top_probs.others(['el2n']) == ()
  assert top_probs.others(['el2n', *top_probs.TOP_ARRAYS]) == ('pred_probs',)
  assert top_probs.others(['pred_probs']) == top_probs.TOP_ARRAYS
