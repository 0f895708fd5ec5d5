"""Tests datadiet.models.resnet against the paper's architecture."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from datadiet.models import make_model

KEY = jax.eval_shape(lambda: jax.random.key(0))


def shapes_of(name, size=32, **options):
  model = make_model(name, **options)
  images = jax.ShapeDtypeStruct((1, size, size, 3), jnp.float32)
  return jax.eval_shape(lambda key, x: model.init(key, x), KEY, images)


def count(tree):
  return sum(np.prod(leaf.shape, dtype=int) for leaf in jax.tree.leaves(tree))


def conv(kernel, inputs, outputs):
  """A convolution without bias and the scale and shift of its batch norm."""
  return kernel * kernel * inputs * outputs + 2 * outputs


def basic_params(width, num_classes):
  total, inputs = conv(3, 3, width), width
  for stage, num_blocks in enumerate((2, 2, 2, 2)):
    channels = width * 2**stage
    for _ in range(num_blocks):
      total += conv(3, inputs, channels) + conv(3, channels, channels)
      if inputs != channels:
        total += conv(1, inputs, channels)
      inputs = channels
  return total + inputs * num_classes + num_classes


def bottleneck_params(width, num_classes):
  total, inputs = conv(3, 3, width), width
  for stage, num_blocks in enumerate((3, 4, 6, 3)):
    channels = width * 2**stage
    for _ in range(num_blocks):
      total += conv(1, inputs, channels) + conv(3, channels, channels)
      total += conv(1, channels, 4 * channels)
      if inputs != 4 * channels:
        total += conv(1, inputs, 4 * channels)
      inputs = 4 * channels
  return total + inputs * num_classes + num_classes


def test_resnet18_has_as_many_parameters_as_the_papers():
  params = shapes_of('resnet18_lowres', num_classes=10)['params']
  assert count(params) == 11_173_962 == basic_params(64, 10)


@pytest.mark.parametrize('num_classes', [10, 100])
def test_resnet50_has_as_many_parameters_as_its_definition(num_classes):
  params = shapes_of('resnet50_lowres', num_classes=num_classes)['params']
  assert count(params) == bottleneck_params(64, num_classes)
  # torchvision's ResNet-50 for ImageNet, with its 7x7 stem made 3x3.
  imagenet = 25_557_032 - (7 * 7 - 3 * 3) * 3 * 64
  assert bottleneck_params(64, 1000) == imagenet


def test_width_sets_the_channels():
  params = shapes_of('resnet18_lowres', num_classes=10, width=8)['params']
  assert count(params) == basic_params(8, 10)


def test_batch_stats_are_a_mean_and_a_variance_for_each_normalised_channel():
  variables = shapes_of('resnet18_lowres', num_classes=10)
  scales = [
    leaf
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables['params'])
    if path[-1].key == 'scale'
  ]
  assert len(scales) == 20
  assert count(variables['batch_stats']) == 2 * count(scales)


@pytest.mark.parametrize('name', ['resnet18_lowres', 'resnet50_lowres'])
def test_the_stem_keeps_the_resolution_and_stages_halve_it(name):
  model = make_model(name, num_classes=10, width=4)
  images = jax.ShapeDtypeStruct((1, 32, 32, 3), jnp.float32)
  variables = jax.eval_shape(lambda k, x: model.init(k, x), KEY, images)
  traced = jax.make_jaxpr(model.apply)(variables, images)
  sizes = [
    equation.outvars[0].aval.shape[1]
    for equation in traced.eqns
    if equation.primitive.name == 'conv_general_dilated'
  ]
  assert sizes[0] == 32
  assert sorted(set(sizes)) == [4, 8, 16, 32]
  assert 'reduce_window' not in str(traced)  # No max-pool.


@pytest.mark.parametrize('name', ['resnet18', 'resnet34', 'resnet50'])
def test_the_standard_stem_quarters_the_resolution(name):
  model = make_model(name, num_classes=10, width=4)
  images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
  variables = jax.eval_shape(lambda k, x: model.init(k, x), KEY, images)
  traced = jax.make_jaxpr(model.apply)(variables, images)
  convolutions = [
    equation
    for equation in traced.eqns
    if equation.primitive.name == 'conv_general_dilated'
  ]
  sizes = [equation.outvars[0].aval.shape[1] for equation in convolutions]
  assert sizes[0] == 112 and sorted({*sizes}) == [7, 14, 28, 56, 112]
  # As PyTorch's: 'SAME' would leave the first row and column out.
  for equation in convolutions:
    kernel = equation.invars[1].aval.shape[0]
    assert equation.params['padding'] == ((kernel // 2,) * 2,) * 2


def initial_scales(name):
  """The scales of all batch norms by path, float32[channels] each."""
  model = make_model(name, num_classes=2, width=1)

  @jax.jit
  def init(key):
    params = model.init(key, jnp.zeros((1, 8, 8, 3)))['params']
    # Without the kernels, whose random numbers take long to compile.
    return {
      path: leaf
      for path, leaf in traverse_util.flatten_dict(params, sep='/').items()
      if path.endswith('/scale')
    }

  return init(jax.random.key(0))


def test_basic_blocks_start_with_all_scales_one():
  for path, scale in initial_scales('resnet18_lowres').items():
    assert np.all(scale == 1.0), path


def test_bottleneck_blocks_start_as_the_identity():
  scales = initial_scales('resnet50_lowres')
  zero = [path for path, scale in scales.items() if np.all(scale == 0.0)]
  assert len(zero) == 3 + 4 + 6 + 3
  # The third norm of a block is its last; a projection's is the fourth.
  assert {path.split('/')[1] for path in zero} == {'BatchNorm_2'}
  assert all(np.all(scales[p] == 1.0) for p in scales if p not in zero)
