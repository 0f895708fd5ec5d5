"""Tests that a forecast compiles what the stages run, without any data."""

import dataclasses

import jax
import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet.errors import ConfigError
from datadiet.forecast import compiled, programs
from tests import running


def _config(**changes):
  config = running.tiny_config(**changes)
  return config_lib.resolve(config, 10)


@pytest.fixture(scope='module')
def found():
  config = _config(
    train__num_runs=4, score__names=('el2n', 'grand'), train__steps_per_call=2
  )
  shape = programs.shape_of('digits', ())
  before = len(jax.live_arrays())
  listed = list(programs.programs(config, shape, jax.devices()))
  pixels = [
    array for array in jax.live_arrays()[before:] if array.dtype == np.uint8
  ]
  assert not pixels, 'no data set is placed'
  return config, listed


def test_training_evaluation_and_each_scoring_pass_are_there(found):
  _, listed = found
  names = [program.name.split(',')[0] for program in listed]
  assert names == ['train', 'evaluate', 'score el2n', 'score grand']


def test_every_program_compiles_and_tells_its_memory(found):
  _, listed = found
  for program in listed:
    read = compiled.read(program.lower().compile(), program.trips)
    assert 0 < read.arguments < read.total, program.name


def test_calls_are_those_of_the_whole_experiment(found):
  config, listed = found
  train, _, el2n, _ = listed
  waves = -(-config.train.num_runs // train.run_mesh.num_slots)
  assert train.calls * train.trips >= waves * config.train.num_steps
  assert (train.calls - waves) * train.trips < waves * config.train.num_steps
  chunks = -(-1437 // el2n.images)
  assert el2n.calls == config.train.num_runs * chunks * len(config.score.steps)


def test_data_of_no_known_shape_has_to_be_described():
  with pytest.raises(ConfigError, match='--data_shape is missing: what config'):
    programs.shape_of('image_folder', ())
  given = programs.shape_of('image_folder', (100, 20, 64, 48, 3, 7))
  assert dataclasses.astuple(given) == (100, 20, (64, 48, 3), 7)
  dataset = given.dataset()
  assert dataset.image_shape == (64, 48, 3) and dataset.num_classes == 7
  # Of broadcast zeros: as many bytes as one pixel.
  assert dataset.train.images.base.nbytes == 1
