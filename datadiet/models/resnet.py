"""ResNets for small images (He et al. 2015, arXiv 1512.03385), as the paper's.

'lowres': a 3x3 stem of stride 1 and no max-pool in place of the 7x7 stem.
"""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp


class BasicBlock(nn.Module):
  """Two 3x3 convolutions with a projected shortcut where shapes change."""

  channels: int
  strides: int
  conv: Callable
  norm: Callable

  @nn.compact
  def __call__(self, inputs: jax.Array) -> jax.Array:
    hidden = self.conv(self.channels, (3, 3), self.strides)(inputs)
    hidden = nn.relu(self.norm()(hidden))
    hidden = self.norm()(self.conv(self.channels, (3, 3))(hidden))
    if inputs.shape != hidden.shape:
      inputs = self.conv(self.channels, (1, 1), self.strides)(inputs)
      inputs = self.norm()(inputs)
    return nn.relu(inputs + hidden)


class BottleneckBlock(nn.Module):
  """1x1, 3x3 (strided), 1x1 to four times the channels."""

  channels: int
  strides: int
  conv: Callable
  norm: Callable

  @nn.compact
  def __call__(self, inputs: jax.Array) -> jax.Array:
    hidden = nn.relu(self.norm()(self.conv(self.channels, (1, 1))(inputs)))
    hidden = self.conv(self.channels, (3, 3), self.strides)(hidden)
    hidden = nn.relu(self.norm()(hidden))
    hidden = self.conv(4 * self.channels, (1, 1))(hidden)
    # Starts as the identity: only in bottleneck blocks, as the paper's code.
    hidden = self.norm(scale_init=nn.initializers.zeros)(hidden)
    if inputs.shape != hidden.shape:
      inputs = self.conv(4 * self.channels, (1, 1), self.strides)(inputs)
      inputs = self.norm()(inputs)
    return nn.relu(inputs + hidden)


class ResNet(nn.Module):
  """A ResNet with batch norm and a stem for small images.

  Attributes:
    stage_sizes: blocks in each stage.
    block: `BasicBlock` or `BottleneckBlock`.
    num_classes: number of logits.
    width: channels of the first stage, doubled at each following one.
    dtype: compute type; params, batch statistics and logits are float32.
    axis_name: of the devices whose batches share batch statistics, if any.
  """

  stage_sizes: Sequence[int]
  block: Callable
  num_classes: int
  width: int = 64
  dtype: jnp.dtype = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    """float32[batch, height, width, channels] -> float32[batch, classes]."""
    conv = functools.partial(nn.Conv, use_bias=False, dtype=self.dtype)
    norm = functools.partial(
      nn.BatchNorm,
      use_running_average=not train,
      momentum=0.9,
      epsilon=1e-5,
      dtype=self.dtype,
      axis_name=self.axis_name,
    )
    hidden = conv(self.width, (3, 3))(images.astype(self.dtype))
    hidden = nn.relu(norm()(hidden))
    for stage, num_blocks in enumerate(self.stage_sizes):
      for index in range(num_blocks):
        strides = 2 if stage > 0 and index == 0 else 1
        hidden = self.block(self.width * 2**stage, strides, conv, norm)(hidden)
    # From here on float32: logits and what is made of them are not rounded.
    features = hidden.mean((1, 2), dtype=jnp.float32)
    self.sow('intermediates', 'features', features)
    return nn.Dense(self.num_classes)(features)


resnet18_lowres = functools.partial(
  ResNet, stage_sizes=(2, 2, 2, 2), block=BasicBlock
)
resnet50_lowres = functools.partial(
  ResNet, stage_sizes=(3, 4, 6, 3), block=BottleneckBlock
)
