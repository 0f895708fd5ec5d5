"""Batch norm whose gradient is written out: two sums a layer and direction."""

import functools
import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

Residuals = tuple[jax.Array, jax.Array, jax.Array, jax.Array]


class BatchNorm(nn.BatchNorm):
  """flax's batch norm, with fewer passes over activations in training.

  Its variables have the same names and shapes, and it gives the same numbers
  but for rounding.
  """

  @nn.compact
  def __call__(
    self,
    x: jax.Array,
    use_running_average: bool | None = None,
    *,
    mask: jax.Array | None = None,
  ) -> jax.Array:
    """[batch, ..., channels] -> the same, of `dtype`; as `nn.BatchNorm`."""
    rests = nn.merge_param(
      'use_running_average', self.use_running_average, use_running_average
    )
    if rests or self.is_initializing() or mask is not None:
      return super().__call__(x, use_running_average, mask=mask)
    channels = x.shape[-1:]
    running = [
      self.variable('batch_stats', name, make, channels, jnp.float32)
      for name, make in (('mean', jnp.zeros), ('var', jnp.ones))
    ]
    scale = self.param('scale', self.scale_init, channels, self.param_dtype)
    bias = self.param('bias', self.bias_init, channels, self.param_dtype)
    outputs, *moments = batch_norm(x, scale, bias, self.epsilon, self.axis_name)
    for average, moment in zip(running, moments):
      average.value = (
        self.momentum * average.value + (1 - self.momentum) * moment
      )
    return outputs.astype(self.dtype or outputs.dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def batch_norm(
  inputs: jax.Array,
  scale: jax.Array,
  bias: jax.Array,
  epsilon: float,
  axis_name: str | None,
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Batch norm by the batch's own statistics (arXiv 1502.03167).

  Args:
    inputs: [batch, ..., channels].
    scale: float32[channels].
    bias: float32[channels].
    epsilon: added to the variance.
    axis_name: the mesh axis over whose devices the batch is split, if any.

  Returns:
    Outputs float32[batch, ..., channels], and mean and variance
    float32[channels] of the whole batch, through which no gradient goes.
  """
  return _forward(inputs, scale, bias, epsilon, axis_name)[0]


def _forward(inputs, scale, bias, epsilon, axis_name) -> tuple[Any, Residuals]:
  values = _wide(inputs)
  sums = _over_devices(_sums(values, lax.square(values)), axis_name)
  mean, of_squares = sums / _number(inputs, axis_name)
  # Rounding can make the difference negative.
  variance = jnp.maximum(0.0, of_squares - lax.square(mean))
  inverse = lax.rsqrt(variance + epsilon)
  # A small product a channel, so that each value takes one product and sum.
  factor = inverse * scale
  outputs = values * factor + (bias - mean * factor)
  return (outputs, mean, variance), (inputs, mean, inverse, scale)


def _backward(
  epsilon: float, axis_name: str | None, residuals: Residuals, cotangents: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
  inputs, mean, inverse, scale = residuals
  cotangent = cotangents[0]
  normalised = (_wide(inputs) - mean) * inverse
  sums = _sums(cotangent, cotangent * normalised)
  all_bias, all_scale = _over_devices(sums, axis_name)
  number = _number(inputs, axis_name)
  shared = all_bias / number + normalised * (all_scale / number)
  of_inputs = (inverse * scale) * (cotangent - shared)
  return of_inputs.astype(inputs.dtype), sums[1], sums[0]


batch_norm.defvjp(_forward, _backward)


def _wide(inputs: jax.Array) -> jax.Array:
  """As float32 at least: sums of fewer digits would lose them."""
  return inputs.astype(jnp.promote_types(inputs.dtype, jnp.float32))


def _number(inputs: jax.Array, axis_name: str | None) -> int:
  """Of values a channel, on all devices."""
  devices = 1 if axis_name is None else lax.axis_size(axis_name)
  return devices * (inputs.size // inputs.shape[-1])


def _sums(first: jax.Array, second: jax.Array) -> jax.Array:
  """Both summed over all axes but the last: float32[2, channels]."""
  return lax.platform_dependent(
    first, second, cuda=_sums_in_parts, default=_whole_sums
  )


def _whole_sums(first: jax.Array, second: jax.Array) -> jax.Array:
  axes = tuple(range(first.ndim - 1))
  return jnp.stack([first.sum(axes), second.sum(axes)])


def _sums_in_parts(first: jax.Array, second: jax.Array) -> jax.Array:
  """In two kernels of a GPU: sums of parts of both, and their sums.

  Left to itself the compiler makes parts too, and three kernels.
  """
  number = first.size // first.shape[-1]
  parts = math.gcd(number, 2 ** (number.bit_length() // 2))
  shape = (parts, number // parts, first.shape[-1])
  sums = [one.reshape(shape).sum(1) for one in (first, second)]
  return jnp.stack(sums).sum(1)


def _over_devices(sums: jax.Array, axis_name: str | None) -> jax.Array:
  """Summed over the devices that share a batch, in one exchange."""
  return sums if axis_name is None else lax.psum(sums, axis_name)
