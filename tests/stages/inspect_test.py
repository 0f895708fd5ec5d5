"""Tests of the inspection stage: embeddings, neighbours, and when it is due."""

import logging
import shutil

import flax.linen as nn
import numpy as np
import pytest
from absl import logging as absl_logging

from datadiet import config as config_lib
from datadiet import main
from datadiet.data import load_dataset
from datadiet.errors import ConfigError, DataDietError, Preempted
from datadiet.models import MODELS
from datadiet.runtime import stopping
from datadiet.stages import inspect, score
from datadiet.stages.context import Context
from datadiet.workdir import artifacts, tables
from datadiet.workdir.artifacts import Workdir
from tests import running

NUM_TRAIN, NUM_TEST = 1437, 360


def _context(workdir, **changes):
  config = config_lib.resolve(running.tiny_config(**changes))
  return Context(config, Workdir.at(workdir), load_dataset(config.dataset))


@pytest.fixture(scope='module')
def inspected(finished, tmp_path_factory):
  """A finished workdir with an inspection; tests must not change it."""
  root = tmp_path_factory.mktemp('inspected') / 'workdir'
  shutil.copytree(finished.workdir.root, root)
  context = _context(root)
  inspect.run(context)
  return context


def _read(context, name):
  return artifacts.read_npy(context.workdir.inspection / name)


def test_features_of_both_splits_are_written(inspected):
  train, test = (
    _read(inspected, name)
    for name in (tables.EMBEDDINGS, tables.TEST_EMBEDDINGS)
  )
  assert train.dtype == test.dtype == np.float32
  assert train.shape[0] == NUM_TRAIN and test.shape[0] == NUM_TEST
  assert train.shape[1] == test.shape[1] and train.std(0).any()


def test_neighbours_are_mostly_of_the_same_class(inspected):
  index = _read(inspected, tables.NEIGHBOUR_INDEX)
  distance = _read(inspected, tables.NEIGHBOUR_DISTANCE)
  assert index.dtype == np.int32 and distance.dtype == np.float32
  assert index.shape == distance.shape == (NUM_TRAIN, 10)
  assert (np.diff(distance) >= 0).all()
  labels = inspected.dataset.train.labels
  assert (labels[index] == labels[:, None]).mean() > 0.4  # By chance 0.1.


def test_it_is_done_once(inspected, monkeypatch):
  monkeypatch.setattr(inspect, '_embeddings', None)
  assert inspect.plan(inspected).endswith('(done)')
  inspect.run(inspected)


def test_stored_features_are_not_computed_again(inspected, own, monkeypatch):
  context = _context(own.workdir.root, score__keep=('features',))
  score.run(context)
  asked = []
  computed = inspect._features
  monkeypatch.setattr(
    inspect,
    '_features',
    lambda context, variables, split: (
      asked.append(split) or computed(context, variables, split)
    ),
  )
  inspect.run(context)
  assert asked == [context.dataset.test]
  stored = context.run_array(0, 44, 'features')
  np.testing.assert_array_equal(_read(context, tables.EMBEDDINGS), stored)
  np.testing.assert_allclose(
    _read(inspected, tables.EMBEDDINGS), stored, rtol=1e-4, atol=1e-5
  )


def _saved(path, array):
  np.save(path, array)
  return str(path)


def test_own_embeddings_are_taken(own, tmp_path):
  rng = np.random.default_rng(0)
  train, test = rng.normal(size=(NUM_TRAIN, 3)), rng.normal(size=(NUM_TEST, 3))
  context = _context(
    own.workdir.root,
    inspect__embeddings_path=_saved(tmp_path / 'a.npy', train),
    inspect__test_embeddings_path=_saved(tmp_path / 'b.npy', test),
  )
  inspect.run(context)
  np.testing.assert_allclose(_read(context, tables.EMBEDDINGS), train, 1e-6)
  np.testing.assert_allclose(_read(context, tables.TEST_EMBEDDINGS), test, 1e-6)
  changed = _context(
    own.workdir.root,
    inspect__embeddings_path=_saved(tmp_path / 'a.npy', train + 1),
  )
  assert not inspect.plan(changed).endswith('(done)')
  # Those of the test split were another network's.
  inspect.run(changed)
  assert not (context.workdir.inspection / tables.TEST_EMBEDDINGS).exists()


_BROKEN = np.zeros((NUM_TRAIN, 2))
_BROKEN[5, 1] = np.nan


@pytest.mark.parametrize(
  ('array', 'message'),
  [
    (np.zeros((3, 2)), 'has shape (3, 2), the data set has 1437 examples'),
    (_BROKEN, '1 row not finite in float32, the first that of example_index 5'),
    (np.zeros(NUM_TRAIN), 'allowed: a row of numbers an example'),
    (np.full((NUM_TRAIN, 2), 'a'), 'allowed: a row of numbers an example'),
  ],
)
def test_other_arrays_are_refused_before_training(tmp_path, array, message):
  path = _saved(tmp_path / 'own.npy', array)
  config = running.tiny_config(inspect__embeddings_path=path)
  with pytest.raises((ConfigError, DataDietError)) as error:
    main.run(config, str(tmp_path / 'workdir'), ['train', 'inspect'])
  assert message in str(error.value) and '\n' not in str(error.value)
  assert not (tmp_path / 'workdir').exists()


def test_embeddings_of_the_test_split_must_fit(tmp_path):
  paths = {
    'inspect__embeddings_path': _saved(
      tmp_path / 'a.npy', np.ones((NUM_TRAIN, 3))
    ),
    'inspect__test_embeddings_path': _saved(
      tmp_path / 'b.npy', np.ones((NUM_TEST, 4))
    ),
  }
  with pytest.raises(ConfigError, match='rows of 4 numbers; allowed: of 3'):
    main.run(
      running.tiny_config(**paths), str(tmp_path / 'workdir'), ['inspect']
    )
  paths['inspect__embeddings_path'] = ''
  with pytest.raises(ConfigError, match='without inspect.embeddings_path'):
    main.run(
      running.tiny_config(**paths), str(tmp_path / 'workdir'), ['inspect']
    )


class _WithoutFeatures(nn.Module):
  num_classes: int
  width: int = 4
  dtype: type = np.float32

  @nn.compact
  def __call__(self, images, train=False):
    return nn.Dense(self.num_classes)(images.reshape(len(images), -1))


def test_without_features_it_goes_by_pixels_alone(
  tmp_path, monkeypatch, caplog
):
  monkeypatch.setitem(MODELS, 'plain', _WithoutFeatures)
  monkeypatch.setattr(absl_logging.get_absl_logger(), 'propagate', True)
  context = _context(tmp_path / 'workdir', model__name='plain')
  with caplog.at_level(logging.WARNING, logger='absl'):
    inspect.run(context)
  assert caplog.messages == [
    "Inspection by pixels alone; embeddings: none: the model 'plain' sows no "
    "features, by self.sow('intermediates', 'features', "
    'INPUT_OF_THE_LAST_LAYER)'
  ]
  assert not (context.workdir.inspection / tables.EMBEDDINGS).exists()
  assert context.manifest(context.workdir.inspection)


def test_the_map_and_test_predictions_are_written(inspected):
  places = _read(inspected, tables.MAP)
  assert places.shape == (NUM_TRAIN, 2) and places.dtype == np.float32
  assert (places.std(0) > 0).all()
  predictions = _read(inspected, tables.TEST_PREDICTIONS)
  num_runs = inspected.config.train.num_runs
  assert predictions.shape == (num_runs, NUM_TEST)
  # As the training itself measured it, at the last step.
  labels = inspected.dataset.test.labels
  for run, found in enumerate(predictions):
    folder = inspected.workdir.run('train', run)
    stated = artifacts.read_manifest(folder)['test_accuracy']
    assert (found == labels).mean() == pytest.approx(stated, abs=1e-6)


def test_a_stop_between_two_parts_leaves_no_manifest(
  inspected, tmp_path, monkeypatch
):
  root = tmp_path / 'workdir'
  shutil.copytree(inspected.workdir.root, root)
  # Made with other settings than those of now.
  monkeypatch.setattr(inspect, 'NUM_NEIGHBOURS', 3)
  manifest = Workdir.at(root).inspection / 'manifest.json'
  manifest.write_text(manifest.read_text().replace('"pca"', '"umap"'))
  pairs = Workdir.at(root).inspection / tables.NEAR_DUPLICATES
  pairs.unlink()
  context = _context(root)
  with monkeypatch.context() as patch:
    patch.setattr(stopping, 'stop_requested', pairs.exists)
    with pytest.raises(Preempted):
      inspect.run(context)
  assert pairs.exists() and not manifest.exists()
  inspect.run(context)
  assert manifest.exists()
  shape = _read(context, tables.NEIGHBOUR_INDEX).shape
  assert shape == (NUM_TRAIN, 3)
