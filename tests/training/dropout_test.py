"""Tests training of networks that draw: dropout, and streams of other names."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.models import MODELS
from datadiet.runtime import mesh as mesh_lib
from datadiet.training.steps import apply_model
from tests.training import small_runs
from tests.training.small_runs import assert_same_outcome, outcome, train
from tests.training.trainer_test import make_trainer, train_steps

KEY = jax.random.key(0)
NAMES = ('dropping', 'stochastic_depth')


class DroppingNet(nn.Module):
  """A dense layer behind dropout, and one that is at times left out."""

  num_classes: int
  width: int = 4
  dtype: str = 'float32'
  stream: str = 'dropout'

  @nn.compact
  def __call__(self, images, train=False):
    hidden = nn.Dense(16)(images.reshape(len(images), -1))
    drop = nn.Dropout(0.5, rng_collection=self.stream)
    hidden = drop(hidden, deterministic=not train)
    if train:
      shape = (len(images), 1)
      hidden *= jax.random.bernoulli(self.make_rng(self.stream), 0.9, shape)
    return nn.Dense(self.num_classes)(nn.relu(hidden))


@pytest.fixture(autouse=True, scope='module')
def networks():
  """Known by name, one drawing from each of two streams."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(MODELS, 'dropping', DroppingNet)
    patch.setitem(
      MODELS,
      'stochastic_depth',
      lambda **options: DroppingNet(stream='stochastic_depth', **options),
    )
    yield


@pytest.mark.parametrize('name', NAMES)
def test_a_stopped_run_with_dropout_goes_on_bitwise(tmp_path, name):
  train(tmp_path / 'whole', model=name)
  expected = outcome(tmp_path / 'whole' / 'run_00', model=name)
  small_runs.train_until(tmp_path / 'cut', 5, model=name)
  train(tmp_path / 'cut', model=name)
  assert_same_outcome(tmp_path / 'cut' / 'run_00', expected, model=name)


def _params(trainer, jobs, num_steps):
  state = train_steps(trainer, jobs, num_steps)
  return [mesh_lib.slot_to_host(state, s).params for s in range(len(jobs))]


@pytest.mark.parametrize('name', NAMES)
def test_runs_seeds_and_steps_draw_for_themselves(name):
  """A network that is blind to its images differs by what it drops alone."""
  keys = {}
  for seed in (0, 1):
    trainer, jobs = make_trainer(2, 1, model=name, data_seed=seed)
    stacked = trainer.step_keys(jobs)['model']
    keys |= {(seed, run): np.asarray(stacked)[run].tobytes() for run in (0, 1)}
  assert len(set(keys.values())) == 4
  dropping, jobs = make_trainer(1, 1, model=name, augmentation='none')
  state = dropping.init(jobs)
  block = next(dropping.index_blocks(jobs, 0))
  step_keys = dropping.step_keys(jobs)
  losses = []
  for step in (0, 0, 1):
    start = jax.tree.map(np.array, dropping.init(jobs))
    start = start.replace(step=np.full(1, step, np.int32))
    state = dropping.put([jax.tree.map(lambda leaf: leaf[0], start)])
    feed = dropping.make_feed([block])
    losses.append(
      float(dropping.run_steps(state, feed, step_keys, 1).meters.loss[0])
    )
  assert losses[0] == losses[1] != losses[2]


def test_what_is_dropped_does_not_depend_on_the_other_runs_of_the_mesh():
  expected = _params(*make_trainer(1, 1, model='dropping'), 3)[0]
  found = _params(*make_trainer(2, 1, model='dropping'), 3)[0]
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


class _Drawing(nn.Module):
  """Adds what it draws for each image to the first logit."""

  num_classes: int
  width: int = 4
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    logits = nn.Dense(self.num_classes)(images.reshape(len(images), -1))
    if not train:
      return logits
    drawn = jax.random.uniform(self.make_rng('dropout'), (len(images),))
    return logits.at[:, 0].add(1e4 * drawn)


def test_devices_of_a_run_draw_different_bits(monkeypatch):
  monkeypatch.setitem(MODELS, 'drawing', _Drawing)
  trainer, jobs = make_trainer(1, 4, model='drawing')
  block = next(trainer.index_blocks(jobs, 0))
  state = trainer.run_steps(
    trainer.init(jobs), trainer.make_feed([block]), trainer.step_keys(jobs), 1
  )
  margins = np.asarray(state.dynamics.margin_mean)[0, block[0]]
  # Four shares of four images: no two images with the same bits.
  assert len(np.unique(np.abs(margins).round(-1))) > 12


class _AlwaysDropping(nn.Module):
  @nn.compact
  def __call__(self, images, train=False):
    return nn.Dropout(0.5, deterministic=False)(images)


def test_dropout_in_eval_mode_is_refused_with_what_to_do():
  images = np.ones((1, 2))
  with pytest.raises(DataDietError, match='AlwaysDropping.*not train'):
    apply_model(_AlwaysDropping(), {}, {}, images, train=False)
  apply_model(
    _AlwaysDropping(), {}, {}, images, train=True, rngs={'dropout': KEY}
  )


def test_evaluation_drops_nothing():
  trainer, jobs = make_trainer(1, 1, model='dropping')
  state = train_steps(trainer, jobs, 2)
  first, second = (trainer.evaluate(state) for _ in range(2))
  assert float(first['loss'][0]) == float(second['loss'][0])
