"""Wide ResNets, for small images (Zagoruyko et al. 2016, arXiv 1605.07146)."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from datadiet.models.batch_norm import BatchNorm
from datadiet.models.published import HEAD, Published


class WideBlock(nn.Module):
  """Norm, relu, 3x3, norm, relu, dropout, 3x3, with a shortcut.

  Attributes:
    channels: of the output.
    strides: of the first convolution.
    dropout: share of values dropped between the convolutions.
    dtype: compute type.
    axis_name: see `WideResNet`.
  """

  channels: int
  strides: int
  dropout: float
  dtype: jnp.dtype
  axis_name: str | None

  @nn.compact
  def __call__(self, inputs: jax.Array, train: bool) -> jax.Array:
    conv = functools.partial(_conv, dtype=self.dtype)
    norm = _norm(train, self.dtype, self.axis_name)
    active = nn.relu(norm()(inputs))
    hidden = conv(self.channels, strides=self.strides)(active)
    hidden = nn.relu(norm()(hidden))
    hidden = nn.Dropout(self.dropout, deterministic=not train)(hidden)
    hidden = conv(self.channels)(hidden)
    if inputs.shape == hidden.shape:
      return inputs + hidden
    return hidden + conv(self.channels, size=1, strides=self.strides)(active)


class WideResNet(nn.Module):
  """Three stages of blocks that normalise first, at one, half, quarter size.

  Attributes:
    num_classes: number of logits.
    depth: layers with weights, 4 more than a multiple of 6.
    widening: by how much the stages are wider than the stem.
    width: channels of the stem; those of the first stage are `widening` times
      as many, doubled twice.
    dropout: share of values dropped in a block in training, of the stream
      'dropout'.
    dtype: compute type; params, batch statistics and logits are float32.
    axis_name: the mesh axis over whose devices a batch is split, if any.
  """

  num_classes: int
  depth: int
  widening: int
  width: int = 16
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32
  axis_name: str | None = None

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    """float32[batch, height, width, channels] -> float32[batch, classes]."""
    hidden = _conv(self.width, dtype=self.dtype)(images.astype(self.dtype))
    for stage in range(3):
      for index in range((self.depth - 4) // 6):
        hidden = WideBlock(
          self.width * self.widening * 2**stage,
          strides=2 if stage > 0 and index == 0 else 1,
          dropout=self.dropout,
          dtype=self.dtype,
          axis_name=self.axis_name,
        )(hidden, train)
    norm = _norm(train, self.dtype, self.axis_name)
    # float32 from here on: logits and scores must not be rounded.
    features = nn.relu(norm()(hidden)).mean((1, 2), dtype=jnp.float32)
    self.sow('intermediates', 'features', features)
    return nn.Dense(self.num_classes)(features)

  def published(self) -> tuple[Published, ...]:
    """The names of the usual network in PyTorch; no library has it."""
    modules = {'Conv_0': 'conv1.', 'BatchNorm_0': 'bn1.', HEAD: 'fc.'}
    per_stage = (self.depth - 4) // 6
    for number in range(3 * per_stage):
      stage, index = divmod(number, per_stage)
      theirs = f'block{stage + 1}.layer.{index}'
      for ours, name in (
        ('BatchNorm_0', 'bn1'),
        ('Conv_0', 'conv1'),
        ('BatchNorm_1', 'bn2'),
        ('Conv_1', 'conv2'),
        ('Conv_2', 'convShortcut'),
      ):
        modules[f'WideBlock_{number}/{ours}'] = f'{theirs}.{name}.'
    return (Published('wideresnet', modules),)


def _conv(channels, size=3, strides=1, *, dtype) -> nn.Conv:
  return nn.Conv(
    channels,
    (size, size),
    strides,
    padding=size // 2,
    use_bias=False,
    dtype=dtype,
  )


def _norm(train, dtype, axis_name):
  return functools.partial(
    BatchNorm,
    use_running_average=not train,
    momentum=0.9,
    epsilon=1e-5,
    dtype=dtype,
    axis_name=axis_name,
  )


wide_resnet28_10 = functools.partial(WideResNet, depth=28, widening=10)
