"""ResNets (He et al. 2015, arXiv 1512.03385), for small images and photographs.

'lowres' are the paper's: a 3x3 stem of stride 1 and no max-pool in place of the
7x7 stem, and flax's padding. The others are torchvision's, down to the padding.
"""

import functools
from collections.abc import Callable, Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp

from datadiet.models.batch_norm import BatchNorm
from datadiet.models.published import HEAD, Published


class BasicBlock(nn.Module):
  """Two 3x3 convolutions, and a shortcut, projected where shapes change."""

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
  """Convolutions 1x1, 3x3 (strided) and 1x1 to four times the channels."""

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


def _pad_evenly(features, kernel_size, strides=1, **options) -> nn.Conv:
  """A convolution with the same padding on all sides, as PyTorch has it.

  'SAME' pads less at the top and left where the stride divides the image.
  """
  padding = tuple((size // 2, size // 2) for size in kernel_size)
  return nn.Conv(features, kernel_size, strides, padding=padding, **options)


class ResNet(nn.Module):
  """A ResNet with batch norm.

  Attributes:
    stage_sizes: blocks in each stage.
    block: `BasicBlock` or `BottleneckBlock`.
    num_classes: number of logits.
    small_images: whether the stem keeps the resolution, as the paper's does; if
      not, it quarters it, and padding is torchvision's.
    width: channels of the first stage, doubled at each following one.
    dtype: compute type; params, batch statistics and logits are float32.
    axis_name: the mesh axis over whose devices a batch is split, if any.
  """

  stage_sizes: Sequence[int]
  block: Callable
  num_classes: int
  small_images: bool = True
  width: int = 64
  dtype: jnp.dtype = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    """float32[batch, height, width, channels] -> float32[batch, classes]."""
    conv = functools.partial(
      nn.Conv if self.small_images else _pad_evenly,
      use_bias=False,
      dtype=self.dtype,
    )
    norm = functools.partial(
      BatchNorm,
      use_running_average=not train,
      momentum=0.9,
      epsilon=1e-5,
      dtype=self.dtype,
      axis_name=self.axis_name,
    )
    stem = ((3, 3), 1) if self.small_images else ((7, 7), 2)
    hidden = conv(self.width, *stem)(images.astype(self.dtype))
    hidden = nn.relu(norm()(hidden))
    if not self.small_images:
      hidden = nn.max_pool(hidden, (3, 3), (2, 2), ((1, 1), (1, 1)))
    for stage, num_blocks in enumerate(self.stage_sizes):
      for index in range(num_blocks):
        strides = 2 if stage > 0 and index == 0 else 1
        hidden = self.block(self.width * 2**stage, strides, conv, norm)(hidden)
    # float32 from here on: logits and scores must not be rounded.
    features = hidden.mean((1, 2), dtype=jnp.float32)
    self.sow('intermediates', 'features', features)
    return nn.Dense(self.num_classes)(features)

  def published(self) -> tuple[Published, ...]:
    """The names of torchvision and timm; theirs have the standard stem."""
    if self.small_images:
      return ()
    modules = {'Conv_0': 'conv1.', 'BatchNorm_0': 'bn1.', HEAD: 'fc.'}
    number, num_convs = 0, 2 if self.block is BasicBlock else 3
    for stage, num_blocks in enumerate(self.stage_sizes):
      for index in range(num_blocks):
        ours, theirs = (
          f'{self.block.__name__}_{number}',
          f'layer{stage + 1}.{index}',
        )
        for conv in range(num_convs):
          modules[f'{ours}/Conv_{conv}'] = f'{theirs}.conv{conv + 1}.'
          modules[f'{ours}/BatchNorm_{conv}'] = f'{theirs}.bn{conv + 1}.'
        modules[f'{ours}/Conv_{num_convs}'] = f'{theirs}.downsample.0.'
        modules[f'{ours}/BatchNorm_{num_convs}'] = f'{theirs}.downsample.1.'
        number += 1
    return (Published('torchvision', modules),)


def _resnet(stage_sizes, block, small_images=False) -> Callable[..., ResNet]:
  return functools.partial(
    ResNet, stage_sizes=stage_sizes, block=block, small_images=small_images
  )


resnet18_lowres = _resnet((2, 2, 2, 2), BasicBlock, small_images=True)
resnet50_lowres = _resnet((3, 4, 6, 3), BottleneckBlock, small_images=True)
resnet18 = _resnet((2, 2, 2, 2), BasicBlock)
resnet34 = _resnet((3, 4, 6, 3), BasicBlock)
resnet50 = _resnet((3, 4, 6, 3), BottleneckBlock)
