"""Tests datadiet.models.simple_cnn against its definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from datadiet.models import make_model

KEY = jax.eval_shape(lambda: jax.random.key(0))


def trace(width, num_classes, size=32):
  model = make_model('simple_cnn', num_classes=num_classes, width=width)
  images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  variables = jax.eval_shape(lambda key, x: model.init(key, x), KEY, images)
  return variables, jax.make_jaxpr(model.apply)(variables, images)


def num_params(width, num_classes):
  """Two 3x3 convolutions with bias a width, then one dense layer."""
  total, inputs = 0, 3
  for channels in (width, 2 * width, 4 * width):
    total += (9 * inputs + 1) * channels + (9 * channels + 1) * channels
    inputs = channels
  return total + (inputs + 1) * num_classes


@pytest.mark.parametrize('width, own_width', [(0, 32), (4, 4)])
def test_number_of_parameters(width, own_width):
  variables, _ = trace(width, 10)
  sizes = [
    np.prod(leaf.shape, dtype=int)
    for leaf in jax.tree.leaves(variables['params'])
  ]
  assert sum(sizes) == num_params(own_width, 10)
  # Nothing but parameters: no batch norm.
  assert set(variables) <= {'params', 'intermediates'}


def test_every_second_convolution_halves_the_resolution():
  _, traced = trace(4, 10)
  shapes = [
    equation.outvars[0].aval.shape[1:]
    for equation in traced.eqns
    if equation.primitive.name == 'conv_general_dilated'
  ]
  assert shapes == [
    (32, 32, 4),
    (16, 16, 4),
    (16, 16, 8),
    (8, 8, 8),
    (8, 8, 16),
    (4, 4, 16),
  ]
