"""Tests datadiet.models.efficientnet: its paddings, TensorFlow's and PyTorch's.

That it computes what theirs do is tested with their weights in weights_test.py.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.models import make_model

IMAGES = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)


def stem_padding(**options):
  model = make_model('efficientnet_lite0', num_classes=3, options=options)
  traced = jax.make_jaxpr(lambda key, x: model.init_with_output(key, x)[0])(
    jax.random.key(0), IMAGES
  )
  return next(
    equation.params['padding']
    for equation in traced.eqns
    if equation.primitive.name == 'conv_general_dilated'
  )


def test_padding_is_tensorflows_or_pytorchs():
  assert stem_padding() == ((0, 1), (0, 1))
  assert stem_padding(padding='symmetric') == ((1, 1), (1, 1))


def test_another_padding_is_refused():
  with pytest.raises(DataDietError, match="'valid' is not allowed; allowed"):
    stem_padding(padding='valid')


def test_running_statistics_follow_a_short_training():
  network = make_model('efficientnet_lite0', num_classes=3, width=8)
  images = 5.0 + jax.random.normal(jax.random.key(0), (8, 32, 32, 3))
  variables = network.init(jax.random.key(0), images)

  @jax.jit
  def step(batch_stats):
    return network.apply(
      {**variables, 'batch_stats': batch_stats},
      images,
      train=True,
      mutable=['batch_stats'],
    )[1]['batch_stats']

  batch_stats = variables['batch_stats']
  for _ in range(150):
    batch_stats = step(batch_stats)
  trained = network.apply(variables, images, True, mutable=['batch_stats'])[0]
  resting = network.apply({**variables, 'batch_stats': batch_stats}, images)
  np.testing.assert_allclose(resting, trained, rtol=0.05, atol=0.05)
