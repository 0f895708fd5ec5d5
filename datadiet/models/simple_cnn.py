"""The small convolutional network: three pairs of convolutions, no norm."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class SimpleCNN(nn.Module):
  """conv3x3, relu, strided conv3x3, relu at 32, 64, 128 channels; mean; dense.

  Attributes:
    num_classes: number of logits.
    width: channels of the first pair, doubled twice.
    dtype: compute type; params and logits are float32.
  """

  num_classes: int
  width: int = 32
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    """float32[batch, height, width, channels] -> float32[batch, classes]."""
    del train
    hidden = images.astype(self.dtype)
    for doubling in range(3):
      for strides in (1, 2):
        hidden = nn.Conv(
          self.width * 2**doubling, (3, 3), strides, dtype=self.dtype
        )(hidden)
        hidden = nn.relu(hidden)
    # float32 from here on: logits and scores must not be rounded.
    features = hidden.mean((1, 2), dtype=jnp.float32)
    self.sow('intermediates', 'features', features)
    return nn.Dense(self.num_classes)(features)
