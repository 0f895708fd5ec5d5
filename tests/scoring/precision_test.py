"""Tests that three bfloat16 products keep scores, by emulation.

What a TPU computes is read off the traced pass and done here in float32: each
operand of a product is split into two bfloat16 numbers, high and low, and
high x high + high x low + low x high are added up. The same pass in float64 is
what it is compared with.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax
from jax.extend import core
from scipy import stats

from datadiet.data.settings import DatasetSettings
from datadiet.data.sources.digits import load_digits
from datadiet.models.resnet import BasicBlock, ResNet
from datadiet.scoring.passes import make_score_step
from datadiet.scoring.precision import PRECISIONS, usual_precision

NUM_IMAGES = 256
PRODUCTS = ('conv_general_dilated', 'dot_general')


def _rounded(value):
  # Not by a cast, which the compiler may leave out.
  return lax.reduce_precision(value, 8, 7)


def _three_passes(product, left, right):
  left_high, right_high = _rounded(left), _rounded(right)
  left_low = _rounded(left - left_high)
  right_low = _rounded(right - right_high)
  return (
    product(left_high, right_high)
    + product(left_high, right_low)
    + product(left_low, right_high)
  )


def _one_pass(product, left, right):
  return product(_rounded(left), _rounded(right))


def _as_they_are(product, left, right):
  return product(left, right)


def _evaluate(jaxpr, constants, inputs, multiply, dtype):
  """A traced function, its products by `multiply`, its floats of a type."""

  def cast(value):
    value = jnp.asarray(value)
    is_float = jnp.issubdtype(value.dtype, jnp.floating)
    return value.astype(dtype) if is_float else value

  def retyped(name, value):
    is_type = name.endswith(('dtype', 'element_type')) and value == jnp.float32
    return jnp.dtype(dtype) if is_type else value

  values = {}

  def read(atom):
    return cast(atom.val) if isinstance(atom, core.Literal) else values[atom]

  values |= zip(jaxpr.constvars, map(cast, constants))
  values |= zip(jaxpr.invars, map(cast, inputs))
  for equation in jaxpr.eqns:
    operands = [read(atom) for atom in equation.invars]
    params = {k: retyped(k, v) for k, v in equation.params.items()}
    nested = params.get('jaxpr', params.get('call_jaxpr'))
    if nested is not None:
      outputs = _evaluate(
        nested.jaxpr, nested.consts, operands, multiply, dtype
      )
    else:
      bind = functools.partial(equation.primitive.bind, **params)
      if equation.primitive.name in PRODUCTS:
        assert set(params['precision']) == {lax.Precision.HIGH}
        outputs = multiply(bind, *operands)
      else:
        outputs = bind(*operands)
      if not equation.primitive.multiple_results:
        outputs = [outputs]
    values |= zip(equation.outvars, outputs)
  return [read(atom) for atom in jaxpr.outvars]


@pytest.fixture(scope='module')
def trained():
  """A ResNet of one block after 60 steps on digits: (model, variables)."""
  train = load_digits(DatasetSettings()).train
  model = ResNet((1,), BasicBlock, num_classes=10, width=8)
  images = (train.images / 255.0 - 0.3).astype(np.float32)
  variables = jax.jit(model.init)(jax.random.key(0), images[:1])
  optimizer = optax.sgd(0.1, 0.9)

  def loss(params, batch_stats, images, labels):
    logits, new = model.apply(
      {'params': params, 'batch_stats': batch_stats},
      images,
      train=True,
      mutable=['batch_stats'],
    )
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
    return losses.mean(), new['batch_stats']

  @jax.jit
  def step(params, batch_stats, state, images, labels):
    grads, batch_stats = jax.grad(loss, has_aux=True)(
      params, batch_stats, images, labels
    )
    updates, state = optimizer.update(grads, state)
    return optax.apply_updates(params, updates), batch_stats, state

  params, batch_stats = variables['params'], variables['batch_stats']
  state, rng = optimizer.init(params), np.random.default_rng(0)
  for _ in range(60):
    chosen = rng.integers(len(images), size=64)
    params, batch_stats, state = step(
      params, batch_stats, state, images[chosen], train.labels[chosen]
    )
  return model, {'params': params, 'batch_stats': batch_stats}, train


@pytest.mark.slow
@pytest.mark.parametrize('name', ['el2n', 'grand'])
def test_three_products_keep_scores_and_their_order(trained, name):
  model, variables, train = trained
  one = np.ones(1, np.float32)
  step = make_score_step(model, (name,), mean=0.3 * one, std=one)
  inputs = (variables, train.images[:NUM_IMAGES], train.labels[:NUM_IMAGES])
  with jax.default_matmul_precision(PRECISIONS['bfloat16_3x'].products):
    traced, shape = jax.make_jaxpr(step, return_shape=True)(*inputs)
  place = list(shape).index(name)

  def scores(multiply, dtype):
    evaluated = jax.jit(
      lambda *flat: _evaluate(
        traced.jaxpr, traced.consts, flat, multiply, dtype
      )[place]
    )
    return np.asarray(evaluated(*jax.tree.leaves(inputs)))

  with jax.enable_x64(True):
    exact = scores(_as_they_are, np.float64)
    assert exact.dtype == np.float64
  three = scores(_three_passes, np.float32)
  errors = np.sort(np.abs(three / exact - 1))
  # Of one example a unit is so near 0 that it changes sides, and its gradient
  # jumps by as much as in float64 with parameters that are 1e-5 smaller.
  assert np.max(errors[:-1] if name == 'grand' else errors) < 1e-3
  assert errors[-1] < 2e-3
  assert stats.spearmanr(three, exact).statistic >= 0.9999
  # What the emulation would show, were it one product.
  rounded = scores(_one_pass, np.float32)
  assert np.max(np.abs(rounded / exact - 1)) > 1e-2


@pytest.mark.parametrize(
  'platform, expected',
  [('cpu', 'float32'), ('gpu', 'float32'), ('tpu', 'bfloat16_3x')],
)
def test_what_is_usual_follows_the_platform(platform, expected):
  assert usual_precision(platform) == expected
