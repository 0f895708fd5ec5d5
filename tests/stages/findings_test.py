"""Tests of the tables of the inspection, on data with planted faults."""

import csv
import dataclasses
import logging

import numpy as np
import pytest
from absl import logging as absl_logging
from PIL import Image

from datadiet import config as config_lib
from datadiet.data import load_dataset
from datadiet.data.dataset import make_dataset
from datadiet.stages import findings, inspect
from datadiet.stages.context import Context
from datadiet.workdir import artifacts, tables
from datadiet.workdir.artifacts import Workdir
from tests import running

STEP = 44


def _read(context, name):
  with (context.workdir.inspection / name).open() as file:
    return list(csv.DictReader(file))


@pytest.fixture(scope='module')
def planted(tmp_path_factory):
  """Digits with copies, a leak, noise, dark images, a group that is wrong."""
  root = tmp_path_factory.mktemp('planted')
  config = config_lib.resolve(running.tiny_config(train__num_runs=1))
  dataset = load_dataset(config.dataset)
  images = dataset.train.images.copy()
  images[20] = images[3]
  images[21] = dataset.test.images[7]
  images[22:24] = images[22:24] // 8
  rng = np.random.default_rng(0)
  images[24] = rng.integers(0, 256, images[24].shape)
  train = dataclasses.replace(dataset.train, images=images)
  dataset = make_dataset('planted', train, dataset.test, dataset.class_names)
  centres = rng.normal(size=(10, 6)).astype(np.float32)
  embeddings = centres[train.labels] + 0.1 * rng.normal(size=(1437, 6))
  np.save(root / 'own.npy', embeddings.astype(np.float32))
  inspect_settings = dataclasses.replace(
    config.inspect, embeddings_path=str(root / 'own.npy')
  )
  config = dataclasses.replace(config, inspect=inspect_settings)
  context = Context(config, Workdir.at(root / 'w'), dataset)
  folder = context.workdir.scores(0, STEP)
  predictions = train.labels.copy()
  of_class = np.flatnonzero(train.labels == 4)
  predictions[of_class] = np.where(rng.random(len(of_class)) < 0.6, 9, 4)
  artifacts.write_npy(folder / 'prediction.npy', predictions)
  context.write_manifest(folder, {'fingerprint': dataset.fingerprint})
  inspect.run(context)
  return context


def test_copies_and_leaks_are_listed_with_what_to_keep(planted):
  pairs = _read(planted, tables.NEAR_DUPLICATES)
  assert tuple(pairs[0]) == tables.NEAR_DUPLICATES_COLUMNS
  found = {
    (row['split_a'], int(row['index_a']), row['split_b'], int(row['index_b']))
    for row in pairs
    if row['exact'] == '1'
  }
  assert found == {('train', 3, 'train', 20), ('train', 21, 'test', 7)}
  ids = planted.dataset.train.ids
  members = _read(planted, tables.DUPLICATE_GROUPS)
  kept = {
    (row['split'], row['id']): row['keep']
    for row in members
    if row['id'] in (ids[3], ids[20], ids[21], planted.dataset.test.ids[7])
  }
  assert kept['test', planted.dataset.test.ids[7]] == '1'
  assert kept['train', ids[21]] == '0'
  assert {kept['train', ids[3]], kept['train', ids[20]]} == {'0', '1'}
  assert (
    planted.manifest(planted.workdir.inspection)['duplicates']['num_leaks'] >= 1
  )


def test_every_example_has_measures_and_flags(planted):
  rows = _read(planted, tables.INSPECTED_EXAMPLES)
  assert [int(row['example_index']) for row in rows] == list(range(1437))
  measures = [*rows[0]][2:-1]
  assert {'outlier', 'class_agreement', 'dark', 'blurry'} <= {*measures}
  assert 'grey' not in measures  # All digits are.
  for name in measures:
    values = [float(row[name]) for row in rows]
    assert 0 <= min(values) <= max(values) <= 1
  flags = {
    int(row['example_index']): row['flags'] for row in rows if row['flags']
  }
  assert 'dark' in flags[22] and 'dark' in flags[23]
  assert 'outlier' in flags[24]
  assert len(flags) < 30
  counts = planted.manifest(planted.workdir.inspection)['flags']
  assert counts['dark'] == sum('dark' in one for one in flags.values())


def test_the_group_that_networks_are_bad_at_is_named(planted):
  rows = _read(planted, tables.BAD_GROUPS)
  assert rows and {row['class_name'] for row in rows} == {'4'}
  labels = planted.dataset.train.labels
  examples = [int(one) for one in rows[0]['examples'].split(';')]
  assert (labels[examples] == 4).all()


def test_shortcuts_and_drift_are_told(planted):
  rows = _read(planted, tables.SHORTCUTS)
  predicts = [float(row['predicts']) for row in rows]
  assert predicts == sorted(predicts, reverse=True) and predicts[0] < 0.3
  manifest = planted.manifest(planted.workdir.inspection)
  assert not manifest['shortcuts'] and not manifest['drift']['found']
  assert manifest['sizes_of'] is None


def test_sizes_are_those_of_the_files(tmp_path):
  rng = np.random.default_rng(0)
  for split, num in (('train', 12), ('test', 4)):
    for label in ('cat', 'dog'):
      folder = tmp_path / 'data' / split / label
      folder.mkdir(parents=True)
      for number in range(num):
        size = (40, 30) if number else (200, 20)
        pixels = rng.integers(0, 256, (*size[::-1], 3), np.uint8)
        Image.fromarray(pixels).save(folder / f'{number}.png')
  config = running.tiny_config(
    dataset__name='image_folder',
    dataset__data_dir=str(tmp_path / 'data'),
    dataset__image_size=16,
    dataset__cache_dir=str(tmp_path / 'cache'),
    train__batch_size=8,
  )
  config = config_lib.resolve(config)
  dataset = load_dataset(config.dataset)
  context = Context(config, Workdir.at(tmp_path / 'w'), dataset)
  sizes = findings._sizes(context, dataset.train)
  wide = np.flatnonzero(sizes[:, 0] == 200)
  assert sizes.shape == (24, 2) and len(wide) == 2
  assert all(str(dataset.train.ids[i]).endswith('/0.png') for i in wide)


def test_what_was_found_is_told_in_a_line(
  tmp_path, planted, caplog, monkeypatch
):
  monkeypatch.setattr(absl_logging.get_absl_logger(), 'propagate', True)
  context = dataclasses.replace(planted, workdir=Workdir.at(tmp_path))
  with caplog.at_level(logging.INFO, logger='absl'):
    inspect.run(context)
  assert 'pairs of copies' in caplog.messages[-1]
  assert 'dark 2' in caplog.messages[-1]
