"""Tests of the layers that networks share."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from datadiet.models import make_model
from datadiet.models.layers import depthwise_convolution


@pytest.mark.parametrize('padding', ['SAME', 'VALID', [(2, 2), (2, 2)]])
@pytest.mark.parametrize('strides', [(1, 1), (2, 2)])
@pytest.mark.parametrize('size', [3, 5])
def test_shifted_products_are_a_depthwise_convolution(size, strides, padding):
  rng = np.random.default_rng(0)
  images = jnp.asarray(rng.normal(size=(2, 11, 8, 6)), jnp.float32)
  kernel = jnp.asarray(rng.normal(size=(size, size, 1, 6)), jnp.float32)

  def convolution(images, kernel):
    return lax.conv_general_dilated(
      images,
      kernel,
      strides,
      padding,
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      feature_group_count=6,
    )

  def shifted(images, kernel):
    return depthwise_convolution(images, kernel, strides, padding)

  results = [
    (form(images, kernel), *jax.grad(_loss(form), (0, 1))(images, kernel))
    for form in (convolution, shifted)
  ]
  for expected, found in zip(*results):
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def _loss(form):
  return lambda *arguments: jnp.square(form(*arguments)).sum()


def test_efficientnet_has_the_same_logits_on_every_platform():
  images = np.random.default_rng(0).normal(size=(2, 33, 40, 3))
  images = images.astype(np.float32)
  networks = [
    make_model('efficientnet_lite0', num_classes=3, width=8, platform=platform)
    for platform in ('', 'cpu', 'tpu')
  ]
  variables = networks[0].init(jax.random.key(0), images)
  assert [network.platform for network in networks] == ['', 'cpu', 'tpu']
  texts = [
    str(jax.make_jaxpr(network.apply)(variables, images))
    for network in networks
  ]
  groups = [re.findall(r'feature_group_count=(\d+)', text) for text in texts]
  is_grouped = [{*numbers} != {'1'} for numbers in groups]
  assert is_grouped == [True, False, True]
  logits = [network.apply(variables, images) for network in networks]
  np.testing.assert_allclose(logits[1], logits[0], rtol=1e-5, atol=1e-5)
