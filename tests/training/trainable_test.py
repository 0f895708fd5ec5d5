"""Tests training a part of a network."""

import jax
import numpy as np
import pytest

from datadiet.training.trainable import is_trained, trained_part, with_part
from datadiet.workdir import checkpoints
from tests.training import small_runs
from tests.training.small_runs import assert_same_outcome, outcome, train

PARAMS = {'Conv_0': {'kernel': 1.0}, 'Dense_0': {'bias': 2.0, 'kernel': 3.0}}


@pytest.mark.parametrize(
  'trainable, paths',
  [
    ('all', ['Block_0/Dense_0/bias', 'Conv_0/kernel', 'Dense_0/bias']),
    ('head', ['Dense_0/bias']),
    ('Dense', ['Block_0/Dense_0/bias', 'Dense_0/bias']),
    ('Conv_[01]|^Dense', ['Conv_0/kernel', 'Dense_0/bias']),
  ],
)
def test_parameters_are_named_by_their_paths(trainable, paths):
  known = ['Block_0/Dense_0/bias', 'Conv_0/kernel', 'Dense_0/bias']
  assert [*filter(is_trained(trainable), known)] == paths


def test_a_part_is_taken_out_and_put_back():
  part = trained_part(PARAMS, 'kernel')
  assert jax.tree.leaves(part) == [1.0, 3.0]
  doubled = jax.tree.map(lambda leaf: 2 * leaf, part)
  assert jax.tree.leaves(with_part(PARAMS, doubled)) == [2.0, 2.0, 6.0]


def changed(folder, first=0, last=10):
  """Names of what is not bitwise the same in a run's two networks."""
  before, after = (
    small_runs.described(checkpoints.load_variables(folder / 'run_00', step))
    for step in (first, last)
  )
  return {
    name.replace("']['", '/').strip("[']")
    for name in before
    if before[name] != after[name]
  }


HEAD = {'params/Dense_0/bias', 'params/Dense_0/kernel'}


@pytest.mark.parametrize(
  'trainable, expected',
  [
    ('head', HEAD),
    # Its batch norm rests: neither scale nor statistics change.
    ('Conv_0', {'params/Conv_0/kernel'}),
    # This one does not.
    (
      'scale',
      {
        'params/BatchNorm_0/scale',
        'batch_stats/BatchNorm_0/mean',
        'batch_stats/BatchNorm_0/var',
      },
    ),
  ],
)
def test_nothing_else_changes(tmp_path, trainable, expected):
  train(tmp_path, trainable=trainable)
  assert changed(tmp_path) == expected


def test_the_optimizer_keeps_nothing_of_the_rest():
  whole = small_runs.state_shapes().opt_state
  part = small_runs.state_shapes(trainable='head').opt_state
  assert len(jax.tree.leaves(whole)) - len(jax.tree.leaves(part)) == 3


def test_resting_norms_see_each_image_alone(tmp_path):
  """So the head learns from what evaluation will show it."""
  train(tmp_path / 'one', trainable='head')
  train(tmp_path / 'two', trainable='head', slots=1, devices=2)
  one, two = (
    checkpoints.load_variables(tmp_path / name / 'run_00', 10)['params']
    for name in ('one', 'two')
  )
  np.testing.assert_allclose(
    one['Dense_0']['kernel'], two['Dense_0']['kernel'], atol=1e-5
  )


def test_a_stopped_run_of_a_part_goes_on_bitwise(tmp_path):
  train(tmp_path / 'whole', trainable='head')
  expected = outcome(tmp_path / 'whole' / 'run_00', trainable='head')
  small_runs.train_until(tmp_path / 'cut', 5, trainable='head')
  train(tmp_path / 'cut', trainable='head')
  assert_same_outcome(tmp_path / 'cut' / 'run_00', expected, trainable='head')
