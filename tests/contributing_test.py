"""Tests the recipes of CONTRIBUTING.md: each alone, and all as plugins."""

import os
import re

import jax
import numpy as np
import pytest

from datadiet.data import DATASETS
from datadiet.models import MODELS, make_model, model_options
from datadiet.reporting.sections import SECTIONS
from datadiet.scoring import forward, registry
from datadiet.scoring.dynamics import score_of_dynamics
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
from tests import running

_TEXT = (running.REPOSITORY / 'CONTRIBUTING.md').read_text()
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
  scores = score_of_dynamics(registry.SCORES['worst_loss'].function, arrays)
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
  assert model_options('mlp') == {'dropout': 0.1}
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


def test_all_recipes_run_in_one_experiment(tmp_path):
  for name, recipe in _RECIPES.items():
    (tmp_path / f'my_{name.replace(" ", "_")}.py').write_text(recipe)
  names = ','.join(path.stem for path in tmp_path.glob('my_*.py'))
  env = running.environment(tmp_path)
  env['PYTHONPATH'] = f'{tmp_path}{os.pathsep}{env["PYTHONPATH"]}'
  workdir = tmp_path / 'workdir'
  flags = running.tiny_flags(
    workdir,
    plugins=names,
    dataset__name='stripes',
    model__name='mlp',
    model__options__dropout=0.2,
    optimizer__schedule='exponential',
    train__num_runs=1,
    train__num_steps=9,
    train__schedule_steps=9,
    train__eval_every_steps=9,
    train__checkpoint_every_steps=9,
    score__names='gini,worst_loss',
    score__steps='9,',
    select__scores='gini',
    select__policies='near_quantile,in_turns',
    select__options__quantile=0.9,
    select__options__stride=50,
    select__baselines='()',
    retrain__full=False,
    retrain__num_runs=1,
    retrain__num_steps=6,
  )
  ended = running.run_main(flags, env)
  assert ended.returncode == 0, ended.stderr
  assert 'gini_step_9_near_quantile' in ended.stdout
  assert 'in_turns' in ended.stdout
  page = (workdir / 'report' / 'index.html').read_text()
  assert 'Examples by class' in page
  assert page.count('<td>100</td>') >= 2
