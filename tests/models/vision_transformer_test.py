"""Tests datadiet.models.vision_transformer: patches and sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.models import make_model

KEY = jax.eval_shape(lambda: jax.random.key(0))


def tiny(**options):
  options = {'depth': 1, **options}
  return make_model('vit_s16', num_classes=3, width=8, options=options)


def shapes_of(model, size):
  images = jax.ShapeDtypeStruct((2, *size, 3), jnp.float32)
  return jax.eval_shape(lambda key, x: model.init(key, x), KEY, images)


@pytest.mark.parametrize(
  'size, options, num_patches',
  [
    ((32, 48), {}, 6),
    ((8, 8), {'patch_size': 4}, 4),
    ((10, 10), {'image_size': 32}, 4),
  ],
)
def test_positions_are_one_a_patch_and_one_for_the_class(
  size, options, num_patches
):
  params = shapes_of(tiny(**options), size)['params']
  assert params['positions'].shape == (1, 1 + num_patches, 8)


def test_patches_that_do_not_divide_images_are_refused():
  with pytest.raises(DataDietError, match='images of 24x32 .* of 16x16'):
    shapes_of(tiny(), (24, 32))


def test_images_are_resized_and_where_a_patch_lies_matters():
  model, rng = tiny(image_size=32), np.random.default_rng(0)
  images = rng.normal(size=(2, 8, 8, 3)).astype(np.float32)
  variables = jax.tree.map(
    lambda leaf: rng.normal(size=leaf.shape).astype(np.float32),
    shapes_of(model, (8, 8)),
  )
  large = jax.image.resize(images, (2, 32, 32, 3), 'bilinear')
  logits = jax.jit(model.apply)(variables, images)
  as_they_are = jax.jit(model.clone(image_size=0).apply)
  np.testing.assert_allclose(logits, as_they_are(variables, large), rtol=1e-4)
  flipped = as_they_are(variables, large[:, ::-1])
  assert not np.allclose(logits, flipped, rtol=1e-2)
