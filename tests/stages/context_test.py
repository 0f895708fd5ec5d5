"""Tests of what a workdir says of its data and of the time it took."""

import dataclasses
import types

import jax
import numpy as np
import pytest

from datadiet.results import load_results
from datadiet.stages.context import open_dataset, timed
from datadiet.workdir import artifacts
from datadiet.workdir.artifacts import Workdir
from tests.results import synthetic


def test_labels_from_before_they_were_changed_are_kept(tmp_path):
  dataset = synthetic.make_images()
  original = dataset.train.labels
  train = dataclasses.replace(dataset.train, labels=(original + 1) % 3)
  changed = dataclasses.replace(dataset, train=train, original_labels=original)
  workdir = Workdir.at(tmp_path / 'changed')
  open_dataset(changed, workdir)
  found = load_results(workdir).original_labels
  np.testing.assert_array_equal(found, original)
  # A workdir from before there was this file gets it.
  workdir.original_labels.unlink()
  open_dataset(changed, workdir)
  assert workdir.original_labels.exists()
  plain = Workdir.at(tmp_path / 'plain')
  open_dataset(dataset, plain)
  assert load_results(plain).original_labels is None


def test_times_are_added_up_and_say_of_how_many_devices(tmp_path):
  workdir = Workdir.at(tmp_path)
  for _ in range(2):
    with timed(types.SimpleNamespace(workdir=workdir), 'score'):
      pass
  entry = artifacts.read_json(workdir.timing)['score']
  device = jax.devices()[0]
  assert entry['devices'] == f'{jax.device_count()} × {device.device_kind}'
  expected = entry['seconds'] * jax.device_count()
  assert entry['device_seconds'] == pytest.approx(expected)
