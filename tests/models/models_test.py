"""Tests datadiet.models: the registry, and what all networks have in common."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.models import MODELS, make_model
from datadiet.scoring import features

IMAGES = jax.ShapeDtypeStruct((2, 16, 16, 3), jnp.float32)
# Parameters with 1,000 classes and images of 224 pixels, as torchvision, timm
# and the papers count them.
PUBLISHED = {
  'resnet18': 11_689_512,
  'resnet34': 21_797_672,
  'resnet50': 25_557_032,
  'efficientnet_lite0': 4_652_008,
  'vit_s16': 22_050_664,
  'vit_b16': 86_567_656,
  'wide_resnet28_10': 36_479_194 + 990 * 641,
}


def shapes_of(model, images=IMAGES):
  key = jax.eval_shape(lambda: jax.random.key(0))
  return jax.eval_shape(lambda key, x: model.init(key, x), key, images)


@pytest.mark.parametrize('name', PUBLISHED)
def test_networks_have_as_many_parameters_as_published(name):
  images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
  params = shapes_of(make_model(name, num_classes=1000), images)['params']
  assert sum(leaf.size for leaf in jax.tree.leaves(params)) == PUBLISHED[name]


@pytest.mark.parametrize(
  'name, options',
  [
    ('wide_resnet28_10', {'dropout': 0.5}),
    ('efficientnet_lite0', {'dropout': 0.5}),
    ('efficientnet_lite0', {'stochastic_depth': 0.5}),
    ('vit_s16', {'dropout': 0.5}),
    ('vit_s16', {'stochastic_depth': 0.5}),
  ],
)
def test_what_is_dropped_is_dropped_in_training_alone(name, options):
  model = make_model(name, num_classes=7, width=4, options=options)
  for train in (False, True):
    traced = str(
      jax.make_jaxpr(
        lambda v, x, key, model=model, train=train: model.apply(
          v, x, train, rngs={'params': key}, mutable=['batch_stats']
        )
      )(shapes_of(model), IMAGES, jax.random.key(0))
    )
    assert ('random_bits' in traced) == train


@pytest.mark.parametrize('name', MODELS)
def test_logits_have_one_column_a_class(name):
  model = make_model(name, num_classes=7, width=4)
  logits = jax.eval_shape(model.apply, shapes_of(model), IMAGES)
  assert logits.shape == (2, 7) and logits.dtype == jnp.float32


@pytest.mark.parametrize('name', MODELS)
def test_bfloat16_computes_narrow_and_keeps_everything_else_float32(name):
  model = make_model(name, num_classes=7, width=4, dtype='bfloat16')
  variables = shapes_of(model)
  assert {str(leaf.dtype) for leaf in jax.tree.leaves(variables)} == {'float32'}
  traced = jax.make_jaxpr(model.apply)(variables, IMAGES)
  products = [
    str(equation.invars[0].aval.dtype)
    for equation in traced.eqns
    if equation.primitive.name in ('conv_general_dilated', 'dot_general')
  ]
  # Logits are not rounded to eight bits.
  assert {*products[:-1]} == {'bfloat16'} and products[-1] == 'float32'
  assert traced.out_avals[0].dtype == jnp.float32


@pytest.mark.parametrize('name', MODELS)
def test_float32_computes_in_float32_only(name):
  model = make_model(name, num_classes=7, width=4)
  assert 'bf16' not in str(
    jax.make_jaxpr(model.apply)(shapes_of(model), IMAGES)
  )


@pytest.mark.parametrize('name', MODELS)
def test_width_scales_every_convolution(name):
  narrow, wide = (
    shapes_of(make_model(name, num_classes=7, width=width))['params']
    for width in (4, 8)
  )
  for thin, thick in zip(jax.tree.leaves(narrow), jax.tree.leaves(wide)):
    if thin.ndim == 4:
      assert thick.shape[-1] == 2 * thin.shape[-1]


@pytest.mark.parametrize('name', MODELS)
def test_evaluation_does_not_touch_batch_statistics(name):
  model = make_model(name, num_classes=7, width=4)
  variables = shapes_of(model)
  _, changed = jax.eval_shape(
    lambda v, x: model.apply(v, x, train=False, mutable=['batch_stats']),
    variables,
    IMAGES,
  )
  before = jax.tree.leaves(variables.get('batch_stats', {}))
  assert len(jax.tree.leaves(changed)) in (0, len(before))


@pytest.mark.parametrize('name', MODELS)
def test_the_input_of_the_last_layer_is_sown(name):
  model = make_model(name, num_classes=7, width=4)
  assert features.sows_features(model, IMAGES.shape[1:])


def test_unknown_name_lists_the_known_and_the_closest():
  with pytest.raises(DataDietError) as error:
    make_model('resnet18_low', num_classes=10)
  message = str(error.value)
  assert "'resnet18_low'" in message and 'did you mean' in message
  assert all(name in message for name in MODELS)
  assert '\n' not in message


def test_bfloat16_logits_are_close_to_float32_logits():
  generator = np.random.default_rng(0)
  images = generator.normal(size=(4, 16, 16, 3)).astype(np.float32)
  wide, narrow = (
    make_model('simple_cnn', num_classes=3, width=4, dtype=dtype)
    for dtype in ('float32', 'bfloat16')
  )
  variables = jax.tree.map(
    lambda leaf: generator.normal(0, 0.2, leaf.shape).astype(np.float32),
    shapes_of(wide),
  )
  exact, rounded = (
    jax.jit(model.apply)(variables, images) for model in (wide, narrow)
  )
  np.testing.assert_allclose(rounded, exact, atol=0.03 * np.abs(exact).max())
  assert np.any(rounded != exact)
