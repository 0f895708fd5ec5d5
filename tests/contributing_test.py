"""Tests the recipes of CONTRIBUTING.md: each block makes its thing known."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest

from datadiet.data import DATASETS
from datadiet.models import MODELS, make_model, option_names
from datadiet.reporting.sections import SECTIONS
from datadiet.scoring import forward, registry
from datadiet.scoring.dynamics import read_off
from datadiet.scoring.features import sows_features
from datadiet.selection import POLICIES, SelectionInputs, select_examples
from datadiet.selection.policies import check_policy
from datadiet.training.dynamics import (
  DynamicsSettings,
  dynamics_arrays,
  init_dynamics,
  update_dynamics,
)
from datadiet.training.optimizer import (
  SCHEDULES,
  OptimizerSettings,
  make_schedule,
)
from datadiet.training.steps import apply_model, model_rngs

_TEXT = (Path(__file__).parents[1] / 'CONTRIBUTING.md').read_text()
_RECIPES = dict(
  re.findall(
    r'<!-- recipe: ([\w ]+) -->\n```python\n(.*?)```', _TEXT, re.DOTALL
  )
)
_DICTS = (DATASETS, MODELS, SECTIONS, registry.SCORES, POLICIES, SCHEDULES)


@pytest.fixture(autouse=True)
def dicts_as_they_were():
  """Takes the entries of a recipe out again."""
  before = [dict(entries) for entries in _DICTS]
  yield
  for entries, kept in zip(_DICTS, before, strict=True):
    entries.clear()
    entries.update(kept)


def _score():
  logits = np.float32([[0, 0], [50, 0]])
  outputs = forward.make_outputs(logits, np.zeros(2, np.int32))
  found = registry.SCORES['gini'].function(outputs)
  np.testing.assert_allclose(found, [0.5, 0.0], atol=1e-6)


def _dynamics():
  recorders = registry.recorders_for(['worst_loss'])
  settings = DynamicsSettings(0, recorders)
  dynamics = init_dynamics(3, num_classes=2, settings=settings)
  for margin in (1.0, -2.0, 3.0):
    logits = np.float32([[margin, 0.0]])
    index, labels = np.int32([1]), np.int32([0])
    dynamics = update_dynamics(dynamics, index, logits, labels, 0, recorders)
  arrays = jax.tree.map(np.asarray, dynamics_arrays(dynamics))
  scores = read_off(registry.SCORES['worst_loss'].function, arrays)
  expected = [np.nan, np.log1p(np.exp(2.0)), np.nan]
  np.testing.assert_allclose(scores, expected, rtol=1e-5)


def _policy():
  scores = np.float32([9, 1, 5, 4, 8])
  inputs = SelectionInputs(np.zeros(5, np.int32), 1, scores, 'harder')
  chosen = select_examples(
    'near_quantile', inputs, 2, options={'quantile': 1.0}
  )
  assert chosen.tolist() == [0, 4]


def _changing_policy():
  _, options = check_policy('in_turns', {'stride': 4})
  epochs = POLICIES['in_turns'].epochs(
    np.arange(10, 20), seed=0, run=0, num_kept=5, **options
  )
  examples, weights = epochs.epoch(2, 0, None)
  assert sorted(examples.tolist()) == [10, 11, 12, 18, 19]
  assert weights is None


def _schedule():
  settings = OptimizerSettings(schedule='exponential', options={'floor': 0.25})
  schedule = make_schedule(settings, 10)
  np.testing.assert_allclose(
    [schedule(step) for step in (0, 5, 10)], [0.1, 0.05, 0.025], rtol=1e-5
  )


def _data_set():
  dataset = DATASETS['stripes'].load(None)
  assert dataset.train.images.shape == (200, 8, 8, 1)
  assert set(dataset.test.labels) == {0, 1}


def _model():
  assert option_names('mlp') == ('dropout',)
  model = make_model('mlp', num_classes=3, options={'dropout': 0.5})
  assert sows_features(model, (4, 4, 1))
  images = np.ones((8, 4, 4, 1), np.float32)
  params = model.init(jax.random.key(0), images)['params']
  keys = model_rngs(jax.random.key(1))
  logits, _ = apply_model(model, params, {}, images, train=True, rngs=keys)
  assert np.ptp(np.asarray(logits), axis=0).max() > 0
  logits, _ = apply_model(model, params, {}, images, train=False)
  assert np.ptp(np.asarray(logits), axis=0).max() == 0


def _section():
  assert SECTIONS['counts'].title == 'Examples by class'


_CHECKS = {
  'score': _score,
  'dynamics': _dynamics,
  'policy': _policy,
  'changing policy': _changing_policy,
  'schedule': _schedule,
  'data set': _data_set,
  'model': _model,
  'section': _section,
}


def test_every_recipe_has_a_check():
  assert set(_RECIPES) == set(_CHECKS)


@pytest.mark.parametrize('name', list(_CHECKS))
def test_a_recipe_is_complete(name):
  exec(compile(_RECIPES[name], f'recipe: {name}', 'exec'), {})
  _CHECKS[name]()
