"""Layers that several networks share."""

import functools
from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


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


def depthwise_convolution(
  images: jax.Array,
  kernel: jax.Array,
  strides: Sequence[int],
  padding: str | Sequence[tuple[int, int]],
  **_: Any,
) -> jax.Array:
  """A convolution of each channel by itself, as a sum of shifted products.

  In place of `jax.lax.conv_general_dilated` in `nn.Conv`: XLA for CPUs takes 17
  to 55 times as long for it, and 8 to 21 times with gradients.

  Args:
    images: [batch, height, width, channels].
    kernel: [rows, columns, 1, channels].
    strides: of rows and columns.
    padding: 'SAME', 'VALID' or pixels before and after, of rows and columns.
    **_: what does not concern it: dilations of 1, groups, layouts.

  Returns:
    [batch, height / strides, width / strides, channels].
  """
  sizes = images.shape[1:3]
  if isinstance(padding, str):
    padding = jax.lax.padtype_to_pads(sizes, kernel.shape[:2], strides, padding)
  padded = jnp.pad(images, ((0, 0), *padding, (0, 0)))
  # From the first position of a tap to one past its last.
  spans = [
    (size + sum(pads) - taps) // stride * stride + 1
    for size, pads, taps, stride in zip(
      sizes, padding, kernel.shape[:2], strides
    )
  ]
  taps = (
    padded[
      :,
      row : row + spans[0] : strides[0],
      column : column + spans[1] : strides[1],
    ]
    * kernel[row, column, 0]
    for row in range(kernel.shape[0])
    for column in range(kernel.shape[1])
  )
  return functools.reduce(jnp.add, taps)
