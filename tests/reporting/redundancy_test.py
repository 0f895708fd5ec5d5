"""Tests that planted duplicates are found, and nothing else."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from datadiet.data.dataset import Split, make_dataset
from datadiet.data.sources.digits import load_digits
from datadiet.errors import DataDietError
from datadiet.reporting import redundancy
from datadiet.workdir import artifacts


@pytest.fixture(scope='module')
def digits():
  return load_digits(None)


def _with_train_images(dataset, changes: dict[int, np.ndarray]):
  images = dataset.train.images.copy()
  for index, image in changes.items():
    images[index] = image
  train = dataclasses.replace(dataset.train, images=images)
  return make_dataset('copies', train, dataset.test, tuple(dataset.class_names))


def _pairs(found, split: str = 'train') -> set[tuple[int, int]]:
  table = found.pairs[found.pairs['split_b'] == split]
  return set(zip(table['index_a'], table['index_b'], strict=True))


def test_there_are_none_among_the_digits(digits):
  found = redundancy.find_duplicates(digits)
  assert found.pairs.empty
  assert found.threshold > 0
  assert found.note == ''


def test_planted_copies_are_all_found(digits):
  images = digits.train.images
  rng = np.random.default_rng(0)
  sources = rng.choice(700, 40, replace=False)
  copies = {800 + n: images[source] for n, source in enumerate(sources)}
  found = redundancy.find_duplicates(_with_train_images(digits, copies))
  expected = {(source, 800 + n) for n, source in enumerate(sources)}
  assert _pairs(found) == expected
  assert (found.pairs['exact'] == 1).all()
  assert (found.pairs['distance'] == 0).all()


def test_near_copies_are_found_and_told_from_exact_ones(digits):
  images = digits.train.images
  rng = np.random.default_rng(0)
  near = {}
  for source in range(30):
    noise = rng.normal(0, 3, images[source].shape)
    brighter = 10 + 0.9 * images[source] + noise
    near[1000 + source] = np.clip(brighter, 0, 255).astype(np.uint8)
  found = redundancy.find_duplicates(_with_train_images(digits, near))
  assert _pairs(found) == {(source, 1000 + source) for source in range(30)}
  assert (found.pairs['exact'] == 0).all()
  assert found.pairs['distance'].is_monotonic_increasing


@pytest.mark.parametrize('strength', [0, 3])
def test_copies_of_half_of_the_images_are_found(digits, strength):
  images = digits.train.images
  rng = np.random.default_rng(0)
  half = len(images) // 2
  copies = {}
  for source in range(half):
    noise = rng.normal(0, strength, images[source].shape)
    copy = np.clip(images[source] + noise, 0, 255).astype(np.uint8)
    copies[half + source] = copy
  found = redundancy.find_duplicates(_with_train_images(digits, copies))
  assert _pairs(found) == {(n, half + n) for n in range(half)}


def test_test_images_in_the_train_split_are_found(digits):
  leaked = {5: digits.test.images[17], 900: digits.test.images[3]}
  found = redundancy.find_duplicates(_with_train_images(digits, leaked))
  assert _pairs(found, 'test') == {(5, 17), (900, 3)}
  row = found.pairs.iloc[0]
  assert row['id_b'] == digits.test.ids[row['index_b']]
  assert row['label_b'] == digits.test.labels[row['index_b']]


def test_many_copies_of_one_image_are_all_found(digits):
  copies = {index: digits.train.images[3] for index in range(100, 130)}
  found = redundancy.find_duplicates(_with_train_images(digits, copies))
  exact = found.pairs[found.pairs['exact'] == 1]
  assert set(exact['index_b']) >= set(range(100, 130))


def test_flat_images_are_compared_exactly_only():
  images = np.random.default_rng(0).integers(0, 255, (50, 9, 7, 1))
  images[10], images[20], images[30] = 40, 40, 90
  split = Split(
    images.astype(np.uint8),
    (np.arange(50) % 2).astype(np.int32),
    np.array([f'i{n}' for n in range(50)]),
  )
  test = Split(255 - split.images[:1], split.labels[:1], np.array(['only']))
  dataset = make_dataset('flat', split, test, ('a', 'b'))
  assert _pairs(redundancy.find_duplicates(dataset)) == {(10, 20)}


def test_large_data_is_searched_for_exact_copies_only(digits, monkeypatch):
  monkeypatch.setattr(redundancy, 'MAX_IMAGES', 1000)
  copied = _with_train_images(digits, {7: digits.train.images[2]})
  found = redundancy.find_duplicates(copied)
  assert _pairs(found) == {(2, 7)}
  assert found.threshold is None
  assert 'near ones was left out' in found.note


def test_the_search_is_done_once(digits, tmp_path, monkeypatch):
  workdir = artifacts.Workdir.at(tmp_path)
  copied = _with_train_images(digits, {7: digits.train.images[2]})
  first = redundancy.cached_duplicates(workdir, copied)

  def never(dataset):
    raise AssertionError('searched again')

  monkeypatch.setattr(redundancy, 'find_duplicates', never)
  again = redundancy.cached_duplicates(workdir, copied)
  pd.testing.assert_frame_equal(again.pairs, first.pairs, check_dtype=False)
  assert again.threshold == first.threshold
  with pytest.raises(DataDietError, match=copied.fingerprint):
    redundancy.cached_duplicates(workdir, digits)
