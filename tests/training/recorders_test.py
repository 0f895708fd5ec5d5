"""Tests a score with arrays of its own, as somebody outside adds one."""

import jax.numpy as jnp
import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.scoring import registry
from datadiet.scoring.dynamics import score_of_dynamics
from datadiet.scoring.score import DYNAMICS, Score
from datadiet.training.dynamics import DynamicsSettings
from datadiet.training.recorders import Recorder
from datadiet.workdir import artifacts
from tests.training.small_runs import (
  assert_same_outcome,
  outcome,
  train,
  train_until,
)


def _init(sizes):
  return {
    name: jnp.zeros(sizes.num_examples, jnp.int32)
    for name in ('now', 'longest')
  }


def _update(at, visit):
  now = jnp.where(visit.correct, at['now'] + 1, 0)
  return {'now': now, 'longest': jnp.maximum(at['longest'], now)}


STREAK = Recorder('streak', _init, _update)
SCORE = Score(
  kind=DYNAMICS,
  function=lambda dynamics: dynamics['streak.longest'],
  definition='the longest run of visits at which it was right',
  higher_is='easier',
  based_on='probabilities',
  source='this test',
  recorders=(STREAK,),
)


def _recording(*names):
  recorders = registry.recorders_for(names)
  needed_by = registry.recorded_for(names)
  return {'dynamics': DynamicsSettings(0, recorders, needed_by)}


@pytest.fixture(autouse=True)
def known(monkeypatch):
  """One entry makes the score known."""
  monkeypatch.setitem(registry.SCORES, 'streak', SCORE)


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
  """A run of 12 steps, three visits of each example, and what it leaves."""
  changes = {'dynamics': DynamicsSettings(0, (STREAK,)), 'num_steps': 12}
  folder = tmp_path_factory.mktemp('streak')
  train(folder, **changes)
  return folder / 'run_00', outcome(folder / 'run_00', **changes), changes


def test_its_arrays_are_recorded_and_scored(whole):
  path = whole[0] / 'dynamics' / 'step_12.npz'
  dynamics = artifacts.read_npz(path)
  scores = score_of_dynamics(SCORE.function, dynamics)
  assert scores.dtype == np.float32
  right = dynamics['num_correct']
  assert (scores <= right).all()
  always = right == dynamics['visits']
  assert always.any() and (scores[always] == right[always]).all()
  never_again = (right > 0) & (dynamics['forgetting_events'] == 0)
  np.testing.assert_array_equal(scores[never_again], right[never_again])
  torn = (right == 2) & (dynamics['forgetting_events'] == 1)
  # Right, wrong, right; or right, right, wrong.
  assert set(scores[torn].tolist()) <= {1.0, 2.0}
  settings = artifacts.read_manifest(whole[0])['settings']
  assert settings['dynamics'] == {'window': 0, 'recorders': ['streak']}


def test_a_stopped_run_goes_on_bitwise(whole, tmp_path):
  _, expected, changes = whole
  train_until(tmp_path, 5, **changes)
  train(tmp_path, **changes)
  assert_same_outcome(tmp_path / 'run_00', expected, **changes)


def test_what_no_score_asked_for_is_not_recorded(whole):
  arrays = artifacts.read_npz(whole[0] / 'dynamics' / 'step_12.npz')
  assert not [name for name in arrays if name.startswith(('windows', 'chang'))]
  assert not _recording('aum', 'forgetting')['dynamics'].recorders


def test_a_run_that_did_not_record_it_is_not_scored():
  with pytest.raises(DataDietError, match='streak.longest.*train again'):
    score_of_dynamics(SCORE.function, {'visits': np.ones(3)})


def test_a_score_asked_for_too_late_is_named(tmp_path):
  train_until(tmp_path, 5)
  with pytest.raises(DataDietError) as caught:
    train(tmp_path, **_recording('streak'))
  message = str(caught.value)
  assert 'begun without what score.names=streak needs, and is at' in message
  assert 'step 5; take it out of score.names until' in message


def test_an_update_that_loses_an_array_is_refused(tmp_path):
  lossy = Recorder('lossy', _init, lambda at, visit: {'now': at['now']})
  with pytest.raises(DataDietError, match="'lossy'.*'longest'"):
    train(tmp_path, dynamics=DynamicsSettings(0, (lossy,)))
