"""Small models and losses of every kind that grad_norm is tried on.

A case is built by a function without arguments, so that nothing is initialised
when tests are collected. `ZOO` holds the cases that can be followed, with the
forms that must be among those chosen; fallbacks.py those that cannot.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax

from datadiet.models import efficientnet, make_model
from datadiet.models.layers import depthwise_convolution

BATCH = 4


@dataclasses.dataclass(frozen=True)
class Case:
  """A loss of one example, its params, and a batch of examples."""

  loss_fn: Callable
  params: Any
  batch: tuple


def images(size=8, channels=3, seed=0):
  shape = (BATCH, size, size, channels)
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def labels(num_classes=5):
  return np.arange(BATCH, dtype=np.int32) % num_classes


def cross_entropy(logits, label):
  return -jax.nn.log_softmax(logits.astype(jnp.float32))[label]


def random_like(tree, seed=1):
  """Numbers of a sensible size for each variable, with nothing compiled."""
  rng = np.random.default_rng(seed)

  def draw(path, leaf):
    noise = rng.normal(size=leaf.shape).astype(leaf.dtype)
    name = jax.tree_util.keystr(path, simple=True, separator='/')
    name = name.removesuffix('/value')  # Of NNX variables.
    if name.endswith('kernel'):
      return noise / np.float32(np.sqrt(np.prod(leaf.shape[:-1])))
    if name.endswith(('scale', 'var')):
      return 1 + np.float32(0.2) * np.abs(noise)
    return np.float32(0.1) * noise

  return jax.tree_util.tree_map_with_path(draw, tree)


def linen_case(module, inputs=None, **call):
  inputs = images() if inputs is None else inputs
  variables = dict(
    jax.eval_shape(
      lambda rng: module.init(rng, inputs[:1], **call), jax.random.key(0)
    )
  )
  params = random_like(variables.pop('params'))
  state = random_like(variables)

  def loss_fn(params, image, label):
    logits = module.apply({'params': params, **state}, image[None], **call)
    return cross_entropy(logits[0], label)

  return Case(loss_fn, params, (inputs, labels()))


def product_model(name, dtype='float32', size=8, width=4, **options):
  module = make_model(
    name, num_classes=5, width=width, dtype=dtype, options=options
  )
  return linen_case(module, images(size), train=False)


class TransformerBlock(nn.Module):
  """Pre-norm attention and MLP."""

  @nn.compact
  def __call__(self, tokens):
    hidden = nn.LayerNorm()(tokens)
    tokens += nn.MultiHeadDotProductAttention(num_heads=2)(hidden)
    hidden = nn.Dense(32)(nn.LayerNorm()(tokens))
    return tokens + nn.Dense(tokens.shape[-1])(nn.gelu(hidden))


class VisionTransformer(nn.Module):
  """Patches, a class token and position embeddings, two blocks."""

  block: Any = TransformerBlock

  @nn.compact
  def __call__(self, inputs):
    tokens = nn.Conv(16, (2, 2), (2, 2))(inputs)
    tokens = tokens.reshape(tokens.shape[0], -1, 16)
    class_token = self.param('cls', nn.initializers.normal(), (1, 1, 16))
    class_token = jnp.tile(class_token, (tokens.shape[0], 1, 1))
    tokens = jnp.concatenate([class_token, tokens], axis=1)
    positions = self.param(
      'pos', nn.initializers.normal(), (1, tokens.shape[1], 16)
    )
    tokens += positions
    for _ in range(2):
      tokens = self.block()(tokens)
    return nn.Dense(5)(nn.LayerNorm()(tokens)[:, 0])


class NormNet(nn.Module):
  """Convolutions with a norm (or none) between, whose type is given."""

  make_norm: Callable

  @nn.compact
  def __call__(self, inputs):
    for strides in (1, 2):
      inputs = nn.Conv(8, (3, 3), strides)(inputs)
      inputs = nn.relu(self.make_norm()(inputs))
    return nn.Dense(5)(inputs.mean((1, 2)))


class SharedDense(nn.Module):
  """One dense layer used twice."""

  @nn.compact
  def __call__(self, inputs):
    hidden = nn.Dense(12)(inputs.reshape(inputs.shape[0], -1))
    shared = nn.Dense(12)
    return nn.Dense(5)(nn.tanh(shared(nn.tanh(shared(hidden)))))


class RematNet(nn.Module):
  """A rematerialised convolution block and one that is not."""

  @nn.compact
  def __call__(self, inputs):
    block = nn.remat(NormBlock)
    return nn.Dense(5)(block()(NormBlock()(inputs)).mean((1, 2)))


class NormBlock(nn.Module):
  """Convolution, GroupNorm, relu."""

  @nn.compact
  def __call__(self, inputs):
    hidden = nn.Conv(8, (3, 3))(inputs)
    return nn.relu(nn.GroupNorm(num_groups=2)(hidden))


class Identity(nn.Module):
  """No norm."""

  def __call__(self, inputs):
    return inputs


def text_case(tied=False, num_tokens=40, dtype=np.int32):
  """Token and position embeddings, with tokens that repeat."""
  rng = np.random.default_rng(0)
  params = {
    'embed': jnp.asarray(rng.normal(size=(num_tokens, 6)), jnp.float32),
    'position': jnp.asarray(rng.normal(size=(7, 6)), jnp.float32),
    'head': jnp.asarray(rng.normal(size=(6, 5)), jnp.float32),
  }

  def loss_fn(params, tokens, label):
    hidden = jnp.take(params['embed'], tokens, axis=0) + params['position']
    hidden = jnp.tanh(hidden).mean(0)
    head = params['embed'].T if tied else params['head']
    return cross_entropy(hidden @ head, label)

  tokens = rng.integers(0, 4, size=(BATCH, 7)).astype(dtype)
  return Case(loss_fn, params, (tokens, labels()))


def bare_case():
  """Bare params: weights on the left, per-group weights, scaled weights."""
  rng = np.random.default_rng(0)

  def array(*shape):
    return jnp.asarray(rng.normal(size=shape), jnp.float32)

  params = {
    'left': array(8, 6),
    'group': array(2, 4, 3),
    'mixed': [array(6, 5), array(5)],
    'slope': array(8),
    'scale': array(6),
    'unused': array(3),
    'count': jnp.arange(3),
  }

  def loss_fn(params, x, label):
    hidden = params['left'] @ x
    hidden = jnp.where(hidden > 0, hidden, params['slope'] * hidden)
    hidden = jnp.einsum('gi,gio->go', hidden.reshape(2, 4), params['group'])
    hidden = jnp.sin(hidden.reshape(6)) * (1 + params['scale'])
    head = (params['mixed'][0] / jnp.sqrt(6.0)).T[::-1]
    logits = head @ hidden + 2.0 * params['mixed'][1]
    return cross_entropy(logits, label)

  return Case(loss_fn, params, (images(1, 6)[:, 0, 0], labels()))


def position_weights_case():
  """Products with many positions, so that the direct form is chosen."""
  rng = np.random.default_rng(0)
  params = {'kernel': jnp.asarray(rng.normal(size=(3, 5)), jnp.float32)}

  def loss_fn(params, image, label):
    return cross_entropy(jnp.tanh(image @ params['kernel']).sum((0, 1)), label)

  return Case(loss_fn, params, (images(8), labels()))


def conv_case(kernel, layout=('NHWC', 'HWIO', 'NHWC'), **options):
  """One convolution of a data-dependent input, with any options."""
  rng = np.random.default_rng(0)
  channels = 4
  params = {'kernel': jnp.asarray(rng.normal(size=kernel), jnp.float32)}
  num_spatial = len(kernel) - 2
  shape = [BATCH, 2] + [7, 6, 5][:num_spatial] + [channels]
  inputs = rng.normal(size=shape).astype(np.float32)
  options = {'window_strides': (1,) * num_spatial, 'padding': 'SAME', **options}

  def loss_fn(params, image, label):
    image = jnp.sin(image)
    if layout[0].startswith('NC'):
      image = jnp.moveaxis(image, -1, 1)
    outputs = lax.conv_general_dilated(
      image, params['kernel'], dimension_numbers=layout, **options
    )
    weights = jnp.cos(jnp.arange(outputs.size)).reshape(outputs.shape)
    return jnp.sum(jnp.tanh(outputs) * weights) * (1 + label)

  return Case(loss_fn, params, (inputs, labels()))


CONVOLUTIONS = {
  'same': lambda: conv_case((3, 3, 4, 6)),
  'strided_odd_padding': lambda: conv_case(
    (3, 2, 4, 6), window_strides=(2, 3), padding=((2, 0), (1, 3))
  ),
  'negative_padding': lambda: conv_case(
    (2, 2, 4, 6), padding=((-1, 2), (0, -1))
  ),
  'dilated': lambda: conv_case((3, 3, 4, 6), rhs_dilation=(2, 1)),
  'transposed': lambda: conv_case(
    (3, 3, 4, 6), lhs_dilation=(2, 2), padding=((1, 2), (1, 2))
  ),
  'grouped': lambda: conv_case((3, 3, 2, 6), feature_group_count=2),
  'depthwise': lambda: conv_case((3, 3, 1, 8), feature_group_count=4),
  'strided_halves': lambda: conv_case((3, 3, 4, 6), window_strides=(1, 2)),
  'strided_wide': lambda: conv_case((4, 5, 4, 6), window_strides=(7, 3)),
  'one_by_one_strided': lambda: conv_case((1, 1, 4, 6), window_strides=(2, 2)),
  'channels_first': lambda: conv_case(
    (6, 4, 3, 3), layout=('NCHW', 'OIHW', 'NCHW')
  ),
  'mixed_layout': lambda: conv_case(
    (3, 3, 4, 6), layout=('NHWC', 'HWIO', 'NCHW')
  ),
  'one_dimensional': lambda: conv_case((3, 4, 6), ('NWC', 'WIO', 'NWC')),
  'three_dimensional': lambda: conv_case(
    (2, 2, 3, 4, 6), ('NDHWC', 'DHWIO', 'NDHWC'), window_strides=(1, 2, 1)
  ),
}
# To which the form 'flat' applies.
FLAT = (
  'same',
  'dilated',
  'grouped',
  'depthwise',
  'strided_halves',
  'strided_wide',
  'channels_first',
  'mixed_layout',
)


class NnxNet(nnx.Module):
  """Convolution, batch norm and a linear layer."""

  def __init__(self, rngs):
    self.conv = nnx.Conv(3, 8, (3, 3), rngs=rngs)
    self.norm = nnx.BatchNorm(8, use_running_average=True, rngs=rngs)
    self.head = nnx.Linear(8, 5, rngs=rngs)

  def __call__(self, inputs):
    hidden = nnx.relu(self.norm(self.conv(inputs)))
    return self.head(hidden.mean((1, 2)))


def nnx_case():
  model = nnx.eval_shape(lambda: NnxNet(nnx.Rngs(0)))
  graph, params, state = nnx.split(model, nnx.Param, ...)
  params, state = random_like(params), random_like(state)

  def loss_fn(params, image, label):
    model = nnx.merge(graph, params, state)
    return cross_entropy(model(image[None])[0], label)

  return Case(loss_fn, params, (images(), labels()))


def stopped_case():
  """A leaf behind stop_gradient, and one scaled by a stopped norm of itself."""
  rng = np.random.default_rng(0)
  params = {
    'stopped': jnp.asarray(rng.normal(size=(6, 6)), jnp.float32),
    'scaled': jnp.asarray(rng.normal(size=(6, 5)), jnp.float32),
  }

  def loss_fn(params, x, label):
    hidden = jnp.tanh(x @ lax.stop_gradient(params['stopped']))
    norm = lax.stop_gradient(jnp.linalg.norm(params['scaled']))
    return cross_entropy(hidden @ (params['scaled'] / norm), label)

  return Case(loss_fn, params, (images(1, 6)[:, 0, 0], labels()))


def custom_derivative_case():
  """A weight inside functions with wrong derivatives of their own."""
  rng = np.random.default_rng(0)
  params = {
    'jvp': jnp.asarray(rng.normal(size=(6, 6)), jnp.float32),
    'vjp': jnp.asarray(rng.normal(size=(6, 5)), jnp.float32),
  }

  @jax.custom_jvp
  def product_jvp(x, w):
    return x @ w

  @product_jvp.defjvp
  def _(primals, tangents):
    (x, w), (dx, dw) = primals, tangents
    return x @ w, dx @ w + 3 * (x @ dw)

  @jax.custom_vjp
  def product_vjp(x, w):
    return x @ w

  product_vjp.defvjp(
    lambda x, w: (x @ w, (x, w)),
    lambda res, dy: (2 * res[1] @ dy, 5 * jnp.outer(res[0], dy)),
  )

  def loss_fn(params, x, label):
    hidden = jnp.tanh(product_jvp(x, params['jvp']))
    return cross_entropy(product_vjp(hidden, params['vjp']), label)

  return Case(loss_fn, params, (images(1, 6)[:, 0, 0], labels()))


def dead_code_case():
  """A penalty that is computed and dropped must not matter."""
  case = position_weights_case()

  def loss_fn(params, image, label):
    jnp.sum(params['kernel'] ** 2)
    return case.loss_fn(params, image, label)

  return Case(loss_fn, case.params, case.batch)


def complex_case():
  """Complex weights, table and factor: the rules are of real numbers."""
  rng = np.random.default_rng(0)

  def draw(*shape):
    parts = rng.normal(size=(2, *shape))
    return jnp.asarray(parts[0] + 1j * parts[1], jnp.complex64)

  params = {
    'embed': draw(40, 4),
    'kernel': draw(4, 4),
    'real': jnp.asarray(rng.normal(size=(4, 5)), jnp.float32),
  }

  def loss_fn(params, tokens, label):
    hidden = jnp.sin(params['embed'][tokens]) @ (params['kernel'] * (1 + 2j))
    hidden = jnp.abs(hidden @ (params['real'] * 1j))
    return cross_entropy(jnp.sin(hidden).mean(0), label)

  tokens = rng.integers(0, 4, size=(BATCH, 7)).astype(np.int32)
  return Case(loss_fn, params, (tokens, labels()))


class MobileNet(nn.Module):
  """The blocks of EfficientNet; their filters as one way or another."""

  depthwise: Callable | None = None

  @nn.compact
  def __call__(self, inputs, train):
    conv = functools.partial(efficientnet.convolution, padding='same')
    norm = functools.partial(nn.BatchNorm, use_running_average=not train)
    for strides, expansion in ((1, 1), (2, 6), (1, 6)):
      inputs = efficientnet.MobileBlock(
        8, 5, strides, expansion, 0.0, conv, norm, self.depthwise
      )(inputs, train)
    return nn.Dense(5)(inputs.mean((1, 2)))


def _shallow(name, **changes):
  return make_model(name, num_classes=5, width=4).clone(**changes)


_FORMS = {'direct', 'gram', 'explicit'}
# Networks that take half a minute or more to compile.
WHOLE = {
  'resnet50_lowres': lambda: product_model('resnet50_lowres'),
  'wide_resnet28_10': lambda: product_model('wide_resnet28_10', width=1),
  **{
    name: lambda name=name: product_model(name, size=33)
    for name in ('resnet18', 'resnet34', 'resnet50', 'efficientnet_lite0')
  },
}
# name -> (case, forms that must be among those chosen).
ZOO = {
  'simple_cnn': (lambda: product_model('simple_cnn'), {'direct', 'gram'}),
  'resnet18_lowres': (
    lambda: product_model('resnet18_lowres'),
    _FORMS,
  ),
  **{
    name: (lambda change=change: linen_case(change(), train=False), _FORMS)
    for name, change in {
      # Two blocks of the kind that the whole ones of `WHOLE` are made of.
      'bottlenecks': lambda: _shallow('resnet50_lowres', stage_sizes=(1, 1)),
      'standard_stem': lambda: _shallow('resnet18', stage_sizes=(1, 1)),
      'wide_blocks': lambda: _shallow('wide_resnet28_10', depth=10, widening=1),
      'mobile_blocks': MobileNet,
      'mobile_blocks_by_shifts': lambda: MobileNet(depthwise_convolution),
    }.items()
  },
  **{
    name: (
      lambda name=name: product_model(
        name, size=8, width=128, depth=2, patch_size=2
      ),
      {'gram', 'explicit'},
    )
    for name in ('vit_s16', 'vit_b16')
  },
  'vision_transformer': (
    lambda: linen_case(VisionTransformer()),
    {'gram', 'explicit'},
  ),
  'vision_transformer_remat': (
    lambda: linen_case(VisionTransformer(nn.remat(TransformerBlock))),
    {'gram', 'explicit'},
  ),
  'layer_norm': (lambda: linen_case(NormNet(nn.LayerNorm)), {'explicit'}),
  'group_norm': (
    lambda: linen_case(NormNet(lambda: nn.GroupNorm(num_groups=4))),
    {'explicit'},
  ),
  'rms_norm': (lambda: linen_case(NormNet(nn.RMSNorm)), {'explicit'}),
  'no_norm': (lambda: linen_case(NormNet(Identity)), {'gram'}),
  'shared_dense': (lambda: linen_case(SharedDense()), {'gram', 'explicit'}),
  'remat': (lambda: linen_case(RematNet()), {'direct', 'explicit'}),
  'embedding': (text_case, {'index_gram', 'explicit', 'gram'}),
  # As many rows as one more than the indices' type can hold.
  'uint8_embedding': (
    lambda: text_case(num_tokens=256, dtype=np.uint8),
    {'index_gram'},
  ),
  'int8_embedding': (
    lambda: text_case(num_tokens=128, dtype=np.int8),
    {'index_gram'},
  ),
  'tied_embedding': (lambda: text_case(tied=True), {'explicit', 'unused'}),
  'bare': (bare_case, {'gram', 'explicit', 'unused'}),
  'position_weights': (position_weights_case, {'direct'}),
  'nnx': (nnx_case, {'gram', 'explicit'}),
  'stopped': (stopped_case, {'gram', 'unused'}),
  'custom_derivative': (custom_derivative_case, {'explicit'}),
  'dead_code': (dead_code_case, {'direct'}),
  'complex': (complex_case, {'explicit'}),
  'batch_group_conv': (
    lambda: conv_case((3, 3, 4, 6), batch_group_count=2),
    {'explicit'},
  ),
  **{
    f'{name}_conv': (case, {'direct', 'gram', 'shifted_gram'})
    for name, case in CONVOLUTIONS.items()
  },
}
