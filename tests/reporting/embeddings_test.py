"""Tests what the page carries of embeddings."""

import numpy as np

from datadiet.reporting.audit import read_audit
from datadiet.reporting.embeddings import (
  NUM_BESIDE,
  embedding_arrays,
  map_points,
)
from datadiet.reporting.payload import build_payload
from datadiet.results import load_results
from datadiet.workdir import artifacts, tables
from tests.results import synthetic


def _write_neighbours(workdir, dataset) -> np.ndarray:
  num_examples = dataset.train.num_examples
  steps = np.arange(1, 11)
  neighbours = (np.arange(num_examples)[:, None] + steps) % num_examples
  path = workdir.inspection / tables.NEIGHBOUR_INDEX
  artifacts.write_npy(path, neighbours.astype(np.int32))
  return neighbours


def test_without_neighbours_there_are_none(workdir):
  results = load_results(workdir)
  assert embedding_arrays(results, None) == {}
  _, arrays = build_payload(results, None)
  assert not {'neighbours', 'map'} & set(arrays)


def test_the_most_suspicious_have_theirs_first(workdir, dataset, monkeypatch):
  neighbours = _write_neighbours(workdir, dataset)
  synthetic.write_audit(workdir, dataset)
  results = load_results(workdir)
  audit = read_audit(results)
  monkeypatch.setattr('datadiet.reporting.embeddings._MAX_ROWS', 7)
  found = embedding_arrays(results, audit)
  order = np.argsort(-audit.suspicion, kind='stable')[:7]
  np.testing.assert_array_equal(found['neighbour_of'], order)
  expected = neighbours[order, :NUM_BESIDE]
  np.testing.assert_array_equal(found['neighbours'], expected)
  _, arrays = build_payload(results, audit)
  assert {'neighbours', 'neighbour_of'} <= set(arrays)


def test_decisions_belong_to_the_data_and_to_its_labels(workdir, dataset):
  description, _ = build_payload(load_results(workdir), None)
  expected = dataset.fingerprint
  if dataset.labels_fingerprint:
    expected += f'-{dataset.labels_fingerprint}'
  assert description['fingerprint'] == expected


def test_a_map_has_its_longer_side_whole(workdir, dataset):
  assert map_points(load_results(workdir)) is None
  places = np.zeros((dataset.train.num_examples, 2), np.float32)
  places[:3] = (-1, 5), (3, 5), (1, 6)
  artifacts.write_npy(workdir.inspection / tables.MAP, places)
  found = map_points(load_results(workdir))
  # 6 from lowest to highest: that side is whole, and up is up.
  np.testing.assert_array_equal(found[2], (2 / 6 * 65535, 0))
  np.testing.assert_array_equal(found[0], (0, np.round(65535 / 6)))
  np.testing.assert_array_equal(found[3], (np.round(65535 / 6), 65535))
  _, arrays = build_payload(load_results(workdir), None)
  assert 'map' in arrays


def test_examples_at_one_place_are_a_map(workdir, dataset):
  places = np.ones((dataset.train.num_examples, 2), np.float32)
  artifacts.write_npy(workdir.inspection / tables.MAP, places)
  assert not map_points(load_results(workdir)).any()
