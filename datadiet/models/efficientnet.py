"""EfficientNet-Lite (Tan, Le 2019, arXiv 1905.11946; Lite: Google, 2020)."""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from datadiet.errors import DataDietError
from datadiet.models.batch_norm import BatchNorm
from datadiet.models.layers import (
  depthwise_convolution,
  rising_rate,
  stochastic_depth,
)
from datadiet.models.published import HEAD, Published

# (blocks, kernel size, strides of the first, expansion, channels), where the
# stem has 32 channels and the last convolution 1280.
_STAGES = (
  (1, 3, 1, 1, 16),
  (2, 3, 2, 6, 24),
  (2, 5, 2, 6, 40),
  (3, 3, 2, 6, 80),
  (3, 5, 1, 6, 112),
  (4, 5, 2, 6, 192),
  (1, 3, 1, 6, 320),
)
_STEM, _LAST = 32, 1280
_PADDINGS = ('same', 'symmetric')
# The normalisation of timm's weights by their padding: those with 'tf' in their
# names are of 'same'.
_TIMM = {'same': 'half', 'symmetric': 'imagenet'}
# Ours -> (those of the package efficientnet_lite_pytorch, those of timm).
_BLOCK_NAMES = {
  'Conv_0': ('_expand_conv', 'conv_pw'),
  'BatchNorm_0': ('_bn0', 'bn1'),
  'Conv_1': ('_depthwise_conv', 'conv_dw'),
  'BatchNorm_1': ('_bn1', 'bn2'),
  'Conv_2': ('_project_conv', 'conv_pwl'),
  'BatchNorm_2': ('_bn2', 'bn3'),
}
_FIRST_BLOCK_NAMES = {
  'Conv_0': ('_depthwise_conv', 'conv_dw'),
  'BatchNorm_0': ('_bn1', 'bn1'),
  'Conv_1': ('_project_conv', 'conv_pw'),
  'BatchNorm_1': ('_bn2', 'bn2'),
}


class MobileBlock(nn.Module):
  """Widens by 1x1, filters each channel, narrows by 1x1.

  Attributes:
    channels: of the output.
    kernel_size: of the filters.
    strides: of the filters.
    expansion: by how much it widens; not at all for 1.
    leave_out: how often it is left out of an image in training.
    conv: (channels, kernel size, ...) -> convolution.
    norm: () -> batch norm.
    depthwise: what filters each channel, as `nn.Conv` takes it; None for XLA's.
  """

  channels: int
  kernel_size: int
  strides: int
  expansion: int
  leave_out: float
  conv: Callable
  norm: Callable
  depthwise: Callable | None = None

  @nn.compact
  def __call__(self, inputs: jax.Array, train: bool) -> jax.Array:
    hidden, wide = inputs, inputs.shape[-1] * self.expansion
    if self.expansion > 1:
      hidden = nn.relu6(self.norm()(self.conv(wide, 1)(hidden)))
    hidden = self.conv(
      wide,
      self.kernel_size,
      self.strides,
      feature_group_count=wide,
      conv_general_dilated=self.depthwise,
    )(hidden)
    hidden = nn.relu6(self.norm()(hidden))
    hidden = self.norm()(self.conv(self.channels, 1)(hidden))
    if self.strides > 1 or hidden.shape != inputs.shape:
      return hidden
    return inputs + stochastic_depth(hidden, self.leave_out, train)


class EfficientNetLite(nn.Module):
  """EfficientNet without squeeze and excitation, by relu6: Lite0.

  Attributes:
    num_classes: number of logits.
    width: channels of the stem; the others grow with it.
    padding: 'same', TensorFlow's, of the published weights; 'symmetric',
      PyTorch's, of timm's network without 'tf' in its name.
    epsilon: of batch norm; 1e-5 for that one.
    dropout: share of features dropped in training, of the stream 'dropout'.
    stochastic_depth: how often the last block is left out of an image in
      training; other blocks less.
    dtype: compute type; params, batch statistics and logits are float32.
    axis_name: the mesh axis over whose devices a batch is split, if any.
    platform: of the devices; on a 'cpu' XLA's filters of single channels are
      replaced, which on others are faster.
  """

  num_classes: int
  width: int = _STEM
  padding: str = 'same'
  epsilon: float = 1e-3
  dropout: float = 0.0
  stochastic_depth: float = 0.0
  dtype: jnp.dtype = jnp.float32
  axis_name: str | None = None
  platform: str = ''

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    """float32[batch, height, width, channels] -> float32[batch, classes].

    Raises:
      DataDietError: for an unknown padding.
    """
    if self.padding not in _PADDINGS:
      raise DataDietError(
        f'model.options.padding: {self.padding!r} is not allowed; allowed: '
        f'{", ".join(_PADDINGS)}'
      )
    norm = functools.partial(
      BatchNorm,
      use_running_average=not train,
      # Of the published 0.99, 120 steps leave a third of the old statistics,
      # and fine-tuned networks of test images what they never saw.
      momentum=0.9,
      epsilon=self.epsilon,
      dtype=self.dtype,
      axis_name=self.axis_name,
    )
    # No method of its own: the layers would be this module's, not the blocks'.
    conv = functools.partial(
      convolution, padding=self.padding, dtype=self.dtype
    )
    hidden = conv(self.width, 3, 2)(images.astype(self.dtype))
    hidden = nn.relu6(norm()(hidden))
    index, num_blocks = 0, sum(stage[0] for stage in _STAGES)
    for repeats, kernel_size, first_strides, expansion, channels in _STAGES:
      for repeat in range(repeats):
        hidden = MobileBlock(
          self._scaled(channels),
          kernel_size,
          1 if repeat else first_strides,
          expansion,
          rising_rate(self.stochastic_depth, index, num_blocks),
          conv,
          norm,
          depthwise_convolution if self.platform == 'cpu' else None,
        )(hidden, train)
        index += 1
    hidden = nn.relu6(norm()(conv(self._scaled(_LAST), 1)(hidden)))
    # float32 from here on: logits and scores must not be rounded.
    features = hidden.mean((1, 2), dtype=jnp.float32)
    self.sow('intermediates', 'features', features)
    features = nn.Dropout(self.dropout, deterministic=not train)(features)
    return nn.Dense(self.num_classes)(features)

  def published(self) -> tuple[Published, ...]:
    """The names of the package of its weights, and of timm."""
    package = {
      'Conv_0': '_conv_stem.',
      'BatchNorm_0': '_bn0.',
      'Conv_1': '_conv_head.',
      'BatchNorm_1': '_bn1.',
      HEAD: '_fc.',
    }
    timm = {
      'Conv_0': 'conv_stem.',
      'BatchNorm_0': 'bn1.',
      'Conv_1': 'conv_head.',
      'BatchNorm_1': 'bn2.',
      HEAD: 'classifier.',
    }
    number = 0
    for stage, (repeats, _, _, expansion, _) in enumerate(_STAGES):
      names = _BLOCK_NAMES if expansion > 1 else _FIRST_BLOCK_NAMES
      for repeat in range(repeats):
        for ours, (of_package, of_timm) in names.items():
          path = f'MobileBlock_{number}/{ours}'
          package[path] = f'_blocks.{number}.{of_package}.'
          timm[path] = f'blocks.{stage}.{repeat}.{of_timm}.'
        number += 1
    return (
      Published('efficientnet_lite_pytorch', package, normalisation='half'),
      Published('timm', timm, normalisation=_TIMM[self.padding]),
    )

  def _scaled(self, channels: int) -> int:
    return max(1, channels * self.width // _STEM)


def convolution(channels, size, strides=1, *, padding, **options) -> nn.Conv:
  """A convolution without bias, padded as TensorFlow or PyTorch would.

  Args:
    channels: of the output.
    size: of the kernel.
    strides: of the kernel.
    padding: 'same' or 'symmetric'.
    **options: of `nn.Conv`.
  """
  return nn.Conv(
    channels,
    (size, size),
    strides,
    padding='SAME' if padding == 'same' else size // 2,
    use_bias=False,
    **options,
  )


efficientnet_lite0 = EfficientNetLite
