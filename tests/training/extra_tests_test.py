"""Tests training with further test splits: what is added, and nothing else."""

import csv
import dataclasses

import numpy as np
import pytest

from datadiet.data.dataset import Split
from datadiet.workdir import artifacts
from tests.training.small_runs import (
  assert_same_outcome,
  outcome,
  small_dataset,
  train,
  train_until,
)


def _with_extra_tests():
  """Part of the test split, as it is and with its labels one further."""
  dataset = small_dataset()
  test = dataset.test
  part = Split(test.images[:9], test.labels[:9], test.ids[:9])
  shifted = dataclasses.replace(test, labels=(test.labels + 1) % 3)
  return dataclasses.replace(
    dataset, extra_tests={'same': test, 'part': part, 'shifted': shifted}
  )


def _rows(run):
  with open(run / 'history.csv') as file:
    return list(csv.DictReader(file))


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """What run 0 leaves when nothing happens to it."""
  folder = tmp_path_factory.mktemp('extra')
  train(folder, dataset=_with_extra_tests())
  return folder / 'run_00'


def test_accuracies_are_in_the_history_and_the_manifest(whole):
  rows = [row for row in _rows(whole) if row['test_accuracy']]
  assert [row['step'] for row in rows] == ['5', '10']
  for row in rows:
    assert row['test_accuracy_same'] == row['test_accuracy']
    right = 9 * float(row['test_accuracy_part'])
    assert right == pytest.approx(round(right))
    total = float(row['test_accuracy_shifted']) + float(row['test_accuracy'])
    assert total <= 1
  stated = artifacts.read_manifest(whole)['extra_test_accuracy']
  assert set(stated) == {'same', 'part', 'shifted'}
  for name, value in stated.items():
    assert value == float(rows[-1][f'test_accuracy_{name}'])


def test_nothing_else_changes(whole, tmp_path):
  train(tmp_path)
  plain, found = outcome(tmp_path / 'run_00'), outcome(whole)
  columns = _rows(tmp_path / 'run_00')[0].keys()
  assert not [name for name in columns if name.startswith('test_accuracy_')]
  for row, own in zip(_rows(whole), _rows(tmp_path / 'run_00'), strict=True):
    assert {name: row[name] for name in columns} == own
  manifest = artifacts.read_manifest(whole)
  del manifest['extra_test_accuracy']
  assert manifest == artifacts.read_manifest(tmp_path / 'run_00')
  for name in plain.keys() - {'history.csv', 'manifest'}:
    assert plain[name] == found[name], name


# In, at and after evaluations; at the end, where nothing is left but files.
@pytest.mark.parametrize('step', [3, 5, 7, 10])
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(
  whole, tmp_path, step
):
  train_until(tmp_path, step, dataset=_with_extra_tests())
  train(tmp_path, dataset=_with_extra_tests())
  assert_same_outcome(tmp_path / 'run_00', outcome(whole))


def test_runs_over_several_devices_agree(whole, tmp_path):
  train(tmp_path, (0, 1), slots=2, devices=4, dataset=_with_extra_tests())
  expected = artifacts.read_manifest(whole)['extra_test_accuracy']
  found = artifacts.read_manifest(tmp_path / 'run_00')['extra_test_accuracy']
  np.testing.assert_allclose(
    [*found.values()], [*expected.values()], atol=1.5 / 9
  )
