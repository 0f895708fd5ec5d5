"""Features: the input of the last layer, which networks sow."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from datadiet.runtime import randomness

# A network stores it by: self.sow('intermediates', 'features', hidden).
COLLECTION, NAME = 'intermediates', 'features'
HOW = f'self.sow({COLLECTION!r}, {NAME!r}, INPUT_OF_THE_LAST_LAYER)'


def sows_features(model: nn.Module, image_shape: tuple[int, ...]) -> bool:
  """Whether a network sows its features; computes nothing.

  Args:
    model: the network.
    image_shape: (height, width, channels).
  """

  def initialise():
    key = jax.random.wrap_key_data(randomness.run_key(0, 0, 0))
    images = jnp.zeros((1, *image_shape), jnp.float32)
    return model.init(key, images, train=False, mutable=True)

  return NAME in jax.eval_shape(initialise).get(COLLECTION, {})
