"""Tests of parameters that lie in one vector."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from datadiet.training.optimizer import (
  ELEMENTWISE,
  OptimizerSettings,
  make_optimizer,
)
from datadiet.training.state import init_state
from datadiet.training.vector import ParamVector, usual_vector
from tests.training.small_runs import SmallNet, small_plan


def _state(name):
  tx = make_optimizer(OptimizerSettings(name=name), 10)
  key = jax.random.key_data(jax.random.key(0))
  options = {'image_shape': (8, 8, 3), 'num_examples': 4}
  return tx, init_state(key, model=SmallNet(3), tx=tx, **options)


def _assert_equal(first, second):
  assert jax.tree.structure(first) == jax.tree.structure(second)
  for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second)):
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize('name', sorted(ELEMENTWISE))
def test_a_state_is_packed_and_unpacked(name):
  _, state = _state(name)
  vector = ParamVector(state.params)
  packed = vector.pack_state(state)
  assert packed.params.shape == (
    sum(map(jnp.size, jax.tree.leaves(state.params))),
  )
  assert max(map(jnp.ndim, jax.tree.leaves(packed.opt_state))) == 1
  _assert_equal(vector.unpack_state(packed), state)


@pytest.mark.parametrize('name', sorted(ELEMENTWISE))
def test_the_vector_is_updated_as_its_leaves_are(name):
  tx, state = _state(name)
  vector = ParamVector(state.params)
  packed = vector.pack_state(state)
  for number in range(3):
    key = jax.random.key(number)
    grads = jax.tree.map(
      lambda leaf, key=key: jax.random.normal(key, leaf.shape), state.params
    )
    state = _updated(tx, grads, state)
    packed = _updated(tx, vector.pack(grads), packed)
  # Vectors of other lengths are rounded otherwise by a CPU's instructions.
  unpacked = vector.unpack_state(packed)
  for a, b in zip(jax.tree.leaves(unpacked), jax.tree.leaves(state)):
    np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def _updated(tx, grads, state):
  updates, opt_state = tx.update(grads, state.opt_state, state.params)
  params = optax.apply_updates(state.params, updates)
  return dataclasses.replace(state, params=params, opt_state=opt_state)


@pytest.mark.parametrize(
  'changes, is_one',
  [
    ({'platform': 'gpu'}, True),
    ({'platform': 'cpu'}, False),
    ({'platform': 'gpu', 'trainable': 'head'}, False),
    ({'platform': 'gpu', 'optimizer': OptimizerSettings('own')}, False),
  ],
)
def test_where_parameters_lie_in_a_vector(changes, is_one):
  _, state = _state('sgd')
  vector = usual_vector(state.params, small_plan(**changes))
  assert (vector is not None) == is_one
