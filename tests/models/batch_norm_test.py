"""Tests of batch norm with a gradient of its own, against flax's."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

from datadiet.models import batch_norm
from datadiet.runtime.mesh import flat_mesh

_SHAPE = (16, 6, 6, 5)


def _results(layer, dtype, inputs, weights):
  """Outputs, new statistics, and gradients in parameters and inputs."""
  model = layer(momentum=0.9, dtype=dtype)
  variables = model.init(jax.random.key(0), inputs, use_running_average=False)
  key = jax.random.key(1)
  params = jax.tree.map(
    lambda leaf: leaf + jax.random.uniform(key, leaf.shape),
    variables['params'],
  )

  def loss(params, inputs):
    outputs, updates = model.apply(
      {**variables, 'params': params},
      inputs.astype(dtype),
      use_running_average=False,
      mutable=['batch_stats'],
    )
    outputs = outputs.astype(jnp.float32)
    return jnp.sum(jnp.sin(outputs) * weights), (outputs, updates)

  return jax.jit(jax.grad(loss, (0, 1), has_aux=True))(params, inputs)


def _draws(scale=2.0, shift=1.0):
  keys = jax.random.split(jax.random.key(2))
  inputs, weights = (jax.random.normal(key, _SHAPE) for key in keys)
  return scale * inputs + shift, weights


@pytest.mark.parametrize(
  'dtype, rtol', [(jnp.float32, 2e-5), (jnp.bfloat16, 2e-2)]
)
def test_it_is_flaxs_but_for_rounding(dtype, rtol):
  expected = _results(nn.BatchNorm, dtype, *_draws())
  found = _results(batch_norm.BatchNorm, dtype, *_draws())
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
    assert a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())


def test_where_it_rests_it_is_flaxs():
  inputs, _ = _draws()
  ours, theirs = (
    layer(use_running_average=True, dtype=jnp.float32)
    for layer in (batch_norm.BatchNorm, nn.BatchNorm)
  )
  variables = theirs.init(jax.random.key(0), inputs)
  assert jax.tree.all(
    jax.tree.map(
      jnp.array_equal, ours.init(jax.random.key(0), inputs), variables
    )
  )
  np.testing.assert_array_equal(
    ours.apply(variables, inputs), theirs.apply(variables, inputs)
  )


def test_devices_that_share_a_batch_are_as_one():
  inputs, weights = _draws()
  scale, bias = jnp.linspace(0.5, 2.0, 5), jnp.linspace(-1.0, 1.0, 5)

  def gradients(axis_name, scale, bias, inputs, weights):
    def loss(scale, bias, inputs):
      outputs, *moments = batch_norm.batch_norm(
        inputs, scale, bias, 1e-5, axis_name
      )
      return jnp.sum(jnp.sin(outputs) * weights), moments

    found, moments = jax.grad(loss, (0, 1, 2), has_aux=True)(
      scale, bias, inputs
    )
    if axis_name:
      found = (*jax.lax.psum(found[:2], axis_name), found[2])
    return found, moments

  shared = jax.shard_map(
    functools.partial(gradients, 'data'),
    mesh=flat_mesh(jax.devices()[:4]).mesh,
    in_specs=(P(), P(), P('data'), P('data')),
    out_specs=((P(), P(), P('data')), P()),
    check_vma=False,
  )
  found = jax.jit(shared)(scale, bias, inputs, weights)
  expected = gradients(None, scale, bias, inputs, weights)
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
  'shape', [(128, 4, 4, 3), (7, 3, 3, 2), (9, 2), (1, 1)]
)
def test_sums_in_parts_are_the_sums(shape):
  """What GPUs are given."""
  first = jax.random.normal(jax.random.key(0), shape)
  np.testing.assert_allclose(
    batch_norm._sums_in_parts(first, first**2),
    batch_norm._whole_sums(first, first**2),
    rtol=1e-5,
    atol=1e-4,
  )
