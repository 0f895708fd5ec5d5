"""Tests starting from the network of a checkpoint."""

import jax
import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.workdir import checkpoints
from tests.training.small_runs import train


def test_runs_start_from_the_network_with_a_new_optimizer(tmp_path):
  train(tmp_path / 'first')
  path = tmp_path / 'first' / 'run_00' / 'checkpoints' / '3'
  train(tmp_path / 'second', (0, 1), slots=2, devices=2, init_from=str(path))
  start = checkpoints.load_variables(tmp_path / 'first' / 'run_00', 3)
  for run in ('run_00', 'run_01'):
    found = checkpoints.load_variables(tmp_path / 'second' / run, 0)
    jax.tree.map(np.testing.assert_array_equal, found, start)
  later = [
    checkpoints.load_variables(tmp_path / folder, 3)['params']['Dense_0']
    for folder in ('first/run_00', 'second/run_00', 'second/run_01')
  ]
  assert len({layer['kernel'].tobytes() for layer in later}) == 3


@pytest.mark.parametrize(
  'path, message',
  [
    ('run_00', "'.*run_00' is no checkpoint; allowed: a folder such as"),
    ('run_00/checkpoints/9', 'step 9'),
    ('run_07/checkpoints/3', 'run_07'),
  ],
)
def test_what_is_no_checkpoint_is_refused(tmp_path, path, message):
  train(tmp_path, num_steps=3)
  with pytest.raises(DataDietError, match=message):
    train(tmp_path / 'new', init_from=str(tmp_path / path))


def test_another_network_is_refused(tmp_path):
  train(tmp_path, num_steps=3)
  path = tmp_path / 'run_00' / 'checkpoints' / '3'
  with pytest.raises(DataDietError, match='another network than config.model'):
    train(tmp_path / 'new', init_from=str(path), width=5)
