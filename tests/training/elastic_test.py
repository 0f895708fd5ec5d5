"""Tests going on from a checkpoint on another number of devices."""

import shutil

import jax
import numpy as np
import pytest

from datadiet.feeding import order
from datadiet.feeding.epochs import AllExamples
from datadiet.runtime import mesh as mesh_lib
from datadiet.scoring.engine import ScoringEngine
from datadiet.training.trainer import Trainer
from datadiet.workdir import checkpoints
from tests.training import small_runs

# Eight devices trained so far, for five steps; five are left.
STOPPED_AT = 5
NAMES = (('el2n', 'loss', 'max_margin', 'input_norm'), ('grand',))


@pytest.fixture(scope='module')
def of_eight(tmp_path_factory):
  """The folder of runs of which eight devices were stopped."""
  folder = tmp_path_factory.mktemp('of_eight')
  small_runs.train_until(folder, STOPPED_AT, devices=8)
  return folder


def final_state(folder):
  shapes = small_runs.state_shapes()
  return checkpoints.restore_state(folder / 'run_00', 10, shapes)


@pytest.fixture(scope='module')
def expected(of_eight, tmp_path_factory):
  """What eight devices come to, not stopped at all."""
  folder = tmp_path_factory.mktemp('expected')
  small_runs.train(folder, devices=8)
  return final_state(folder)


def largest_difference(found, expected):
  """Of each array, relative to its largest value."""
  return max(
    np.abs(a - b).max() / np.abs(b).max()
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected))
  )


@pytest.mark.parametrize('devices', [1, 2, 4, 8])
def test_five_steps_on(of_eight, expected, devices, tmp_path, monkeypatch):
  shutil.copytree(of_eight / 'run_00', tmp_path / 'run_00')
  index_blocks, blocks = Trainer.index_blocks, []

  def recorded(*inputs):
    for indices in index_blocks(*inputs):
      blocks.append(indices[0])
      yield indices

  monkeypatch.setattr(Trainer, 'index_blocks', recorded)
  small_runs.train(tmp_path, devices=devices)
  # The order of a run that was never stopped.
  epochs = AllExamples(np.arange(small_runs.NUM_TRAIN), seed=0, run=0)
  stream = order.batches(epochs, batch_size=small_runs.BATCH_SIZE)
  in_order = [next(stream) for _ in range(10)]
  np.testing.assert_array_equal(blocks, in_order[STOPPED_AT:])
  found = final_state(tmp_path)
  for part in ('params', 'batch_stats', 'opt_state'):
    pair = getattr(found, part), getattr(expected, part)
    difference = largest_difference(*pair)
    assert difference < 1e-5 and (difference == 0 or devices < 8), part
  np.testing.assert_array_equal(found.dynamics.visits, expected.dynamics.visits)


@pytest.mark.parametrize('names', NAMES)
def test_scores_of_the_checkpoint(of_eight, names):
  variables = checkpoints.load_variables(of_eight / 'run_00', STOPPED_AT)
  dataset = small_runs.small_dataset()

  def scores(devices):
    engine = ScoringEngine(
      dataset.train,
      small_runs.SmallNet(small_runs.NUM_CLASSES),
      names,
      mean=dataset.mean,
      std=dataset.std,
      chunk_size=24,  # Divides no 64 examples.
      mesh=mesh_lib.flat_mesh(jax.devices()[:devices]),
    )
    return engine.score(variables)

  of_all = scores(8)
  for devices in (1, 2, 4):
    found = scores(devices)
    for name in names:
      assert np.ptp(found[name]) > 0
      np.testing.assert_allclose(found[name], of_all[name], rtol=1e-4)
