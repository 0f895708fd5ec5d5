"""Tests that a forecast compiles what the stages run, without any data."""

import dataclasses

import jax
import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet import main
from datadiet.errors import ConfigError
from datadiet.forecast import compiled, programs
from datadiet.scoring.engine import ScoringEngine
from datadiet.training.trainer import Trainer
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
  before = {*map(id, jax.live_arrays())}
  listed = list(programs.programs(config, shape, jax.devices()))
  pixels = [
    array
    for array in jax.live_arrays()
    if array.dtype == np.uint8 and id(array) not in before
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


@pytest.mark.parametrize(
  'placement, memory, is_sent',
  [
    ('auto', 4 * 1437 * 64, False),
    ('auto', 4 * 1437 * 64 - 1, True),
    ('host', 1e12, True),
    ('stream', 1e12, True),
    ('device', 1, False),
  ],
)
def test_pixels_are_sent_or_resident_as_in_a_run(placement, memory, is_sent):
  config = _config(dataset__placement=placement, score__names=('el2n',))
  shape = programs.shape_of('digits', ())
  listed = programs.programs(config, shape, jax.devices(), memory=memory)
  for program in listed:
    if program.name == 'evaluate':
      continue  # Of the test split, which takes a quarter.
    pixels = [
      info.shape
      for info in jax.tree.leaves(program.lower().args_info)
      if info.dtype == np.uint8
    ]
    assert len(pixels) == 1
    assert (pixels[0] == (1437, 64)) != is_sent
    assert (pixels[0][-3:] == (8, 8, 1)) == is_sent


def test_what_is_cut_out_of_photographs_is_sent_as_it_was_cut():
  config = _config(
    dataset__placement='stream',
    dataset__crop_size=6,
    train__augmentation='photo_crop_flip',
  )
  shape = programs.shape_of('digits', ())
  train, *_ = programs.programs(config, shape, jax.devices(), ('train',))
  (pixels,) = (
    info.shape
    for info in jax.tree.leaves(train.lower().args_info)
    if info.dtype == np.uint8
  )
  assert pixels[-3:] == (6, 6, 1)


def test_evaluation_sees_what_is_cut_out():
  """Of 8 x 8 pixels that are kept the network sees 6 x 6."""
  shape = programs.shape_of('digits', ())
  flops = []
  for crop_size in (0, 6):
    config = _config(
      dataset__crop_size=crop_size, train__augmentation='resized_crop_flip'
    )
    _, evaluate, *_ = programs.programs(config, shape, jax.devices())
    flops.append(evaluate.lower().cost_analysis()['flops'])
  assert flops[1] < 0.7 * flops[0]


def test_calls_are_those_of_the_whole_experiment(found):
  config, listed = found
  train, _, el2n, _ = listed
  waves = -(-config.train.num_runs // train.run_mesh.num_slots)
  assert train.calls * train.trips >= waves * config.train.num_steps
  assert (train.calls - waves) * train.trips < waves * config.train.num_steps
  chunks = -(-1437 // el2n.images)
  assert el2n.calls == config.train.num_runs * chunks * len(config.score.steps)


def test_stages_run_what_is_forecast(monkeypatch, tmp_path):
  """The same plan on the same mesh, and the same engines; only data differ."""
  made = []

  def record(kind):
    init = kind.__init__

    def recorded(self, data, *given, **named):
      init(self, data, *given, **named)
      of_data = ('mean', 'std', 'placements')
      named = {name: named[name] for name in named if name not in of_data}
      made.append((kind.__name__, *given[:2], named))

    monkeypatch.setattr(kind, '__init__', recorded)

  record(Trainer)
  record(ScoringEngine)
  config = running.tiny_config(
    train__dynamics_window=2,
    train__profile_steps=(3, 5),
    score__names=('el2n', 'grand', 'dual'),
    score__gradient_runs=1,
    score__keep=('pred_probs',),
  )
  main.run(config, str(tmp_path / 'workdir'), ['train', 'score'])
  run, made[:] = made.copy(), []
  resolved = config_lib.resolve(config, 22)
  shape = programs.shape_of('digits', ())
  listed = list(programs.programs(resolved, shape, jax.devices()))
  assert [kind for kind, *_ in made] == ['Trainer'] + 2 * ['ScoringEngine']
  assert made == run
  grand = listed[-1]
  # Of one run, at both steps.
  assert grand.calls == 2 * -(-1437 // grand.images)


def test_data_of_no_known_shape_has_to_be_described():
  with pytest.raises(ConfigError, match='--data_shape is missing: what config'):
    programs.shape_of('image_folder', ())
  given = programs.shape_of('image_folder', (100, 20, 64, 48, 3, 7))
  assert dataclasses.astuple(given) == (100, 20, (64, 48, 3), 7)
  dataset = given.dataset()
  assert dataset.image_shape == (64, 48, 3) and dataset.num_classes == 7
  # Of broadcast zeros: as many bytes as one pixel.
  assert dataset.train.images.base.nbytes == 1
