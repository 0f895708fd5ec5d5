"""Layers that several networks share."""

import flax.linen as nn
import jax


def stochastic_depth(branch: jax.Array, rate: float, train: bool) -> jax.Array:
  """Leaves out a branch of some images (Huang et al. 2016, arXiv 1603.09382).

  Draws from the stream 'stochastic_depth'; scales what stays.

  Args:
    branch: [batch, ...], of a block, before it is added to the block's input.
    rate: how often it is left out.
    train: whether it ever is.
  """
  layer = nn.Dropout(
    rate,
    broadcast_dims=range(1, branch.ndim),
    rng_collection='stochastic_depth',
    deterministic=not train,
  )
  return layer(branch)


def rising_rate(last: float, index: int, num_blocks: int) -> float:
  """The rate of a block, from 0 for the first to `last` for the last."""
  return last * index / max(num_blocks - 1, 1)
