"""Losses that grad_norm cannot follow, so that it falls back.

`FALLBACKS` names for each the leaf and the operation that the log line must
name.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from tests.gradient_norms.zoo import (
  Case,
  cross_entropy,
  images,
  labels,
  position_weights_case,
)


def scan_case():
  """A recurrence whose weight is used inside lax.scan."""
  rng = np.random.default_rng(0)
  params = {
    'inputs': jnp.asarray(rng.normal(size=(3, 6)), jnp.float32),
    'recurrent': jnp.asarray(rng.normal(size=(6, 6)), jnp.float32),
  }

  def loss_fn(params, image, label):
    def step(hidden, x):
      hidden = jnp.tanh(x @ params['inputs'] + hidden @ params['recurrent'])
      return hidden, None

    hidden, _ = lax.scan(step, 0 * image.ravel()[:6], image.reshape(-1, 3)[:5])
    return cross_entropy(hidden, label)

  return Case(loss_fn, params, (images(), labels()))


def penalty_case():
  """Cross-entropy plus a weight penalty."""
  case = position_weights_case()

  def loss_fn(params, image, label):
    penalty = 0.1 * jnp.sum(params['kernel'] ** 2)
    return case.loss_fn(params, image, label) + penalty

  return Case(loss_fn, case.params, case.batch)


def standardised_case():
  """Weight standardisation: a non-linear function of the weight alone."""
  case = position_weights_case()

  def loss_fn(params, image, label):
    kernel = params['kernel']
    kernel = (kernel - kernel.mean(0)) / jnp.sqrt(jnp.mean(kernel**2))
    return case.loss_fn({'kernel': kernel}, image, label)

  return Case(loss_fn, case.params, case.batch)


def squared_case():
  """A weight multiplied by itself in one equation."""
  case = position_weights_case()

  def loss_fn(params, image, label):
    kernel = params['kernel'] * params['kernel']
    return case.loss_fn({'kernel': kernel}, image, label)

  return Case(loss_fn, case.params, case.batch)


def squared_in_jit_case():
  """The same, as two arguments of a jitted function."""
  case = position_weights_case()
  multiply = jax.jit(lambda a, b: a * b)

  def loss_fn(params, image, label):
    kernel = multiply(params['kernel'], params['kernel'])
    return case.loss_fn({'kernel': kernel}, image, label)

  return Case(loss_fn, case.params, case.batch)


def product_of_leaves_case():
  """Two leaves multiplied before they meet data (a low-rank weight)."""
  rng = np.random.default_rng(0)
  params = {
    'down': jnp.asarray(rng.normal(size=(3, 2)), jnp.float32),
    'up': jnp.asarray(rng.normal(size=(2, 5)), jnp.float32),
  }
  case = position_weights_case()

  def loss_fn(params, image, label):
    kernel = params['down'] @ params['up']
    return case.loss_fn({'kernel': kernel}, image, label)

  return Case(loss_fn, params, case.batch)


def cond_case():
  """A weight used in one branch of lax.cond."""
  case = position_weights_case()

  def loss_fn(params, image, label):
    return lax.cond(
      label > 1,
      lambda kernel: case.loss_fn({'kernel': kernel}, image, label),
      lambda kernel: 0.1 * jnp.sum(kernel) * image.sum(),
      params['kernel'],
    )

  return Case(loss_fn, case.params, case.batch)


def while_case():
  """A weight used inside a fori_loop with a fixed number of turns."""
  case = position_weights_case()

  def loss_fn(params, image, label):
    def body(_, hidden):
      return jnp.tanh(hidden @ params['kernel'])[:, :, :3]

    hidden = lax.fori_loop(0, 3, body, image)
    return cross_entropy(hidden.sum((0, 1)), label % 3)

  return Case(loss_fn, case.params, case.batch)


def linear_penalty_case():
  """A loss that for one leaf never meets data at all."""
  params = {'w': jnp.arange(3.0)}
  return Case(lambda params, _: jnp.sum(params['w']), params, (images(),))


# name -> (case, leaf and operation that the log line names).
FALLBACKS = {
  'scan': (scan_case, 'inputs', 'scan'),
  'penalty': (penalty_case, 'kernel', 'integer_pow|square|mul'),
  'standardised': (standardised_case, 'kernel', 'sub'),
  'squared': (squared_case, 'kernel', 'mul'),
  'squared_in_jit': (squared_in_jit_case, 'kernel', 'mul'),
  'product_of_leaves': (product_of_leaves_case, 'down', 'dot_general'),
  'cond': (cond_case, 'kernel', 'cond'),
  'while': (while_case, 'kernel', 'scan|while'),
  'linear_penalty': (linear_penalty_case, 'w', 'the loss'),
}
