"""Tests that a page of very many examples is rounded to its size."""

import json
import re

import numpy as np
import pytest

from datadiet.data.dataset import Split, make_dataset
from datadiet.reporting import page, payload, rounding
from datadiet.reporting.summary import build_summary
from datadiet.results import load_results
from datadiet.workdir import artifacts
from tests.results import synthetic


@pytest.fixture(scope='module')
def values():
  """float32[100_000]: small and large ones of both signs, and odd ones."""
  rng = np.random.default_rng(0)
  found = rng.normal(size=100_000) * 10 ** rng.uniform(-3, 0, 100_000)
  found[:3] = np.nan, np.inf, -np.inf
  return found.astype(np.float32)


@pytest.mark.parametrize('digits', [2, 3, 4])
def test_rounding_keeps_order_ends_and_digits(values, digits):
  found = rounding.round_score(values, digits)
  assert found.dtype == np.float32
  order = np.argsort(values)[:-1]  # NaN is last.
  assert (np.diff(found[order][1:-1]) >= 0).all()
  num_ends = rounding.NUM_EXACT + 1  # And an infinity.
  for ends in (order[:num_ends], order[-num_ends:]):
    np.testing.assert_array_equal(found[ends], values[ends])
  np.testing.assert_array_equal(found[:3], values[:3])
  between = order[num_ends:-num_ends]
  error = np.abs(found[between] / values[between] - 1)
  assert 0 < error.max() <= 0.5001 * 10 ** (1 - digits)
  # Also large values, of which few digits are coarse.
  whole = np.ptp(values[np.isfinite(values)])
  assert np.abs(found[between] - values[between]).max() <= whole / 2000
  assert len(np.unique(found)) < 0.6 * len(values)
  # The decimal number with these digits is the very same float.
  inner = found[between]
  inner = inner[(inner > inner.min()) & (inner < inner.max())]
  texts = [f'{value:.5g}' for value in inner]
  np.testing.assert_array_equal(np.float32(texts), inner)


@pytest.mark.parametrize('value', [0, 2.5, np.nan])
def test_scores_that_are_all_the_same_stay(value):
  values = np.full(5000, value, np.float32)
  np.testing.assert_array_equal(rounding.round_score(values, 2), values)


def _arrays(values) -> dict[str, str]:
  places = np.arange(2 * len(values)).astype(np.uint16)
  return {'score-0': payload.pack(values), 'map': payload.pack(places)}


def test_no_more_is_rounded_than_needed(values):
  arrays = _arrays(values)
  before = sum(map(len, arrays.values()))
  saved = []
  for num_bytes in (1, before // 3, before):
    told, found = rounding.round_payload({}, arrays, num_bytes)
    saved.append(before - sum(map(len, found.values())))
    digits = told['rounding']['digits']
    levels = payload.unpack(found['levels-0'], '<f4')
    numbers = payload.unpack(found['score-0'], '<i4')
    np.testing.assert_array_equal(
      levels[numbers], rounding.round_score(values, digits)
    )
    places = payload.unpack(found['map'], '<u2')
    assert len(np.unique(places)) <= told['rounding']['map_places']
  assert 1 <= saved[0] < before // 3 <= saved[1]
  assert saved[1] <= saved[2]
  assert digits == 2


def test_the_page_says_that_it_is_rounded(tmp_path):
  dataset = synthetic.make_images(20_000, size=8)
  workdir = synthetic.make_workdir(tmp_path, dataset)
  synthetic.write_map(workdir, dataset)
  results = load_results(workdir)
  summary = build_summary(results)
  exact = page.render_page(results, summary)
  assert 'scores are rounded' not in exact
  limit = len(exact.encode()) - 100_000
  for images in (None, dataset):
    text = page.render_page(results, summary, images, max_bytes=limit)
    assert len(text.encode()) <= limit
    assert re.search(r'scores are rounded to [234] digits', text)
    assert re.search(r'tells [124],\d{3} places apart', text)
    assert 'MB without any image' not in text
  described = re.search(r'id="report-payload">(.*?)</script>', text)
  left_out = json.loads(described[1])['thumbnails']['num_left_out']
  assert 0 < left_out < 20_000


def _imagenet():
  """As many examples, classes and ids as ImageNet has, of one pixel each."""
  num, num_classes = 1_281_167, 1000
  rng = np.random.default_rng(0)
  labels = np.sort(rng.integers(0, num_classes, num)).astype(np.int32)
  synsets = np.sort(rng.choice(15_000_000, num_classes, replace=False))
  # In the order of paths, which is not that of the numbers in them.
  stems = np.concatenate(
    [
      np.sort(rng.choice(30_000, count, replace=False).astype(str))
      for count in np.bincount(labels)
    ]
  )
  ids = [
    f'n{synset:08d}/n{synset:08d}_{stem}.JPEG'
    for synset, stem in zip(synsets[labels], stems)
  ]
  pixels = rng.integers(0, 256, (num, 1, 1, 3), dtype=np.uint8)
  test = Split(
    pixels[:1000], np.arange(1000, dtype=np.int32), np.array(ids[:1000])
  )
  names = tuple(f'class of synset n{synset:08d}' for synset in synsets)
  return make_dataset(
    'imagenet', Split(pixels, labels, np.array(ids)), test, names
  )


def test_imagenet_has_a_page_of_the_size(tmp_path, monkeypatch):
  monkeypatch.setattr(synthetic, 'NUM_RUNS', 1)
  dataset = _imagenet()
  num_examples = dataset.train.num_examples
  workdir = artifacts.Workdir.at(tmp_path)
  synthetic.write_description(workdir, dataset)
  names = ('el2n', 'grand', 'aum', 'forgetting')
  synthetic.write_scores(workdir, dataset, 60, names)
  rng = np.random.default_rng(1)
  is_wrong = rng.random(num_examples) < 0.35
  others = rng.integers(0, 1000, num_examples)
  predicted = np.where(is_wrong, others, dataset.train.labels).astype(np.int32)
  artifacts.write_npy(workdir.scores(0, 60) / 'prediction.npy', predicted)
  for num_kept in (num_examples // 2, num_examples // 10 * 7):
    synthetic.write_random(workdir, dataset, num_kept)
  synthetic.write_map(workdir, dataset)
  results = load_results(workdir)
  # What the thumbnails of the hardest and the easiest leave.
  limit = int(0.9 * page.MAX_BYTES)
  text = page.render_page(results, build_summary(results), max_bytes=limit)
  assert len(text.encode()) <= limit
  assert re.search(r'scores are rounded to [34] digits', text)
  assert 'MB without any image' not in text
