"""Vision Transformers (Dosovitskiy et al. 2020, arXiv 2010.11929)."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from datadiet.errors import DataDietError
from datadiet.models.layers import rising_rate, stochastic_depth
from datadiet.models.published import HEAD, Published

# Channels of a head, in all of the paper's sizes.
_HEAD_CHANNELS = 64
# Of layer norm, in the paper's code, torchvision and timm.
_EPSILON = 1e-6

# (library, modules, blocks, modules of a block, class token, position
# embeddings, normalisation).
_NAMES = (
  (
    'torchvision',
    {'Conv_0': 'conv_proj.', 'LayerNorm_0': 'encoder.ln.', HEAD: 'heads.head.'},
    'encoder.layers.encoder_layer_',
    {
      'LayerNorm_0': 'ln_1.',
      'Attention_0/Dense_0': 'self_attention.in_proj_',
      'Attention_0/Dense_1': 'self_attention.out_proj.',
      'LayerNorm_1': 'ln_2.',
      'Dense_0': 'mlp.0.',
      'Dense_1': 'mlp.3.',
    },
    'class_token',
    'encoder.pos_embedding',
    'imagenet',
  ),
  (
    'timm',
    {'Conv_0': 'patch_embed.proj.', 'LayerNorm_0': 'norm.', HEAD: 'head.'},
    'blocks.',
    {
      'LayerNorm_0': 'norm1.',
      'Attention_0/Dense_0': 'attn.qkv.',
      'Attention_0/Dense_1': 'attn.proj.',
      'LayerNorm_1': 'norm2.',
      'Dense_0': 'mlp.fc1.',
      'Dense_1': 'mlp.fc2.',
    },
    'cls_token',
    'pos_embed',
    'half',
  ),
)


class Attention(nn.Module):
  """Self-attention; queries, keys and values are one product.

  Attributes:
    dtype: compute type; the softmax is float32.
  """

  dtype: jnp.dtype

  @nn.compact
  def __call__(self, tokens: jax.Array) -> jax.Array:
    width = tokens.shape[-1]
    num_heads = max(1, width // _HEAD_CHANNELS)
    fused = nn.Dense(3 * width, dtype=self.dtype)(tokens)
    shape = (*tokens.shape[:-1], 3, num_heads, width // num_heads)
    query, key, value = jnp.moveaxis(fused.reshape(shape), -3, 0)
    attended = jax.nn.dot_product_attention(query, key, value)
    return nn.Dense(width, dtype=self.dtype)(attended.reshape(tokens.shape))


class EncoderBlock(nn.Module):
  """Attention and a perceptron of four times the width, each normalised first.

  Attributes:
    dropout: share of values dropped.
    leave_out: how often attention or perceptron are left out of an image.
    dtype: compute type.
  """

  dropout: float
  leave_out: float
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, tokens: jax.Array, train: bool) -> jax.Array:
    width = tokens.shape[-1]
    dense = functools.partial(nn.Dense, dtype=self.dtype)
    norm = functools.partial(nn.LayerNorm, epsilon=_EPSILON, dtype=self.dtype)

    def drop(values):
      return nn.Dropout(self.dropout, deterministic=not train)(values)

    attended = drop(Attention(self.dtype)(norm()(tokens)))
    tokens += stochastic_depth(attended, self.leave_out, train)
    # By the error function: flax's own default approximates it.
    hidden = nn.gelu(dense(4 * width)(norm()(tokens)), approximate=False)
    hidden = drop(dense(width)(drop(hidden)))
    return tokens + stochastic_depth(hidden, self.leave_out, train)


class VisionTransformer(nn.Module):
  """Patches, a class token, position embeddings, and encoder blocks.

  Attributes:
    num_classes: number of logits.
    width: channels of a token; 64 make a head.
    depth: encoder blocks.
    patch_size: pixels of a patch's side.
    image_size: images are resized to this height and width first; 0 to take
      them as they are.
    dropout: share of values dropped in training, of the stream 'dropout'.
    stochastic_depth: how often the last block is left out of an image in
      training; other blocks less.
    dtype: compute type; params and logits are float32.
  """

  num_classes: int
  width: int
  depth: int = 12
  patch_size: int = 16
  image_size: int = 0
  dropout: float = 0.0
  stochastic_depth: float = 0.0
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, images: jax.Array, train: bool = False) -> jax.Array:
    """float32[batch, height, width, channels] -> float32[batch, classes].

    Raises:
      DataDietError: if patches do not divide the images.
    """
    tokens = self._embed(images)
    tokens = nn.Dropout(self.dropout, deterministic=not train)(tokens)
    for index in range(self.depth):
      leave_out = rising_rate(self.stochastic_depth, index, self.depth)
      block = EncoderBlock(self.dropout, leave_out, self.dtype)
      tokens = block(tokens, train)
    # float32 from here on: logits and scores must not be rounded.
    first = tokens[:, 0].astype(jnp.float32)
    features = nn.LayerNorm(epsilon=_EPSILON)(first)
    self.sow('intermediates', 'features', features)
    return nn.Dense(self.num_classes)(features)

  def published(self) -> tuple[Published, ...]:
    """The names of torchvision and of timm."""
    return tuple(
      Published(
        source,
        {ours: name for ours, name in top.items()}
        | {
          f'EncoderBlock_{number}/{ours}': f'{block}{number}.{name}'
          for number in range(self.depth)
          for ours, name in inside.items()
        },
        {'token': token, 'positions': positions},
        normalisation,
        {'positions': self._resized_positions},
      )
      for source, top, block, inside, token, positions, normalisation in _NAMES
    )

  def _resized_positions(
    self, positions: np.ndarray, image_shape: tuple[int, ...]
  ) -> np.ndarray:
    """Position embeddings of a square of patches for images of another size.

    As timm does it: bicubic, smoothed where there are fewer patches; that of
    the class token stays.

    Args:
      positions: float32[1, 1 + patches, width].
      image_shape: (height, width, channels).
    """
    size = [self.image_size] * 2 if self.image_size else image_shape[:2]
    grid = tuple(pixels // self.patch_size for pixels in size)
    side = math.isqrt(positions.shape[1] - 1)
    is_square = side**2 == positions.shape[1] - 1
    if not is_square or grid == (side, side):
      return positions
    width = positions.shape[2]
    of_patches = positions[0, 1:].reshape(side, side, width)
    resized = jax.image.resize(of_patches, (*grid, width), 'cubic')
    resized = np.asarray(resized).reshape(1, -1, width)
    return np.concatenate([positions[:, :1], resized], 1)

  def _embed(self, images: jax.Array) -> jax.Array:
    """The class token and those of the patches: [batch, 1 + patches, width]."""
    batch, *size, channels = images.shape
    if self.image_size:
      size = [self.image_size] * 2
      images = jax.image.resize(images, (batch, *size, channels), 'bilinear')
    patch = (self.patch_size, self.patch_size)
    if any(pixels % self.patch_size for pixels in size):
      raise DataDietError(
        f'images of {size[0]}x{size[1]} are not divided by patches of '
        f'{self.patch_size}x{self.patch_size}; allowed: another '
        'config.dataset.image_size, model.options.image_size or '
        'model.options.patch_size'
      )
    patches = nn.Conv(self.width, patch, patch, 'VALID', dtype=self.dtype)(
      images.astype(self.dtype)
    )
    patches = patches.reshape(batch, -1, self.width)
    token = self.param('token', nn.initializers.zeros, (1, 1, self.width))
    token = jnp.broadcast_to(token, (batch, 1, self.width)).astype(self.dtype)
    tokens = jnp.concatenate([token, patches], 1)
    positions = self.param(
      'positions', nn.initializers.normal(0.02), (1, *tokens.shape[1:])
    )
    return tokens + positions.astype(self.dtype)


vit_s16 = functools.partial(VisionTransformer, width=384)
vit_b16 = functools.partial(VisionTransformer, width=768)
