"""Squared norms of arrays and of matrix products P^T D."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax


def squared_sum(array: jax.Array) -> jax.Array:
  """Sum of squared magnitudes, accumulated in float32 or wider."""
  dtype = sum_dtype(array.dtype)
  if jnp.issubdtype(array.dtype, jnp.complexfloating):
    return squared_sum(array.real) + squared_sum(array.imag)
  return jnp.sum(jnp.square(array.astype(dtype)))


def sum_dtype(dtype: Any) -> Any:
  """float32, or float64 for double precision numbers."""
  wide = jnp.dtype(dtype) in (jnp.dtype('float64'), jnp.dtype('complex128'))
  return jnp.dtype('float64') if wide else jnp.dtype('float32')


def product_squared_norm(
  patches: jax.Array, cotangent: jax.Array, form: str, precision: Any
) -> jax.Array:
  """||P^T D||^2 summed over groups.

  Args:
    patches: P, [num_groups, num_positions, patch_size].
    cotangent: D, [num_groups, num_positions, num_outputs].
    form: 'direct' or 'gram'.
    precision: of the products, as in lax.dot_general.

  Returns:
    float32[].
  """
  product = functools.partial(
    lax.dot_general,
    precision=precision,
    preferred_element_type=sum_dtype(patches.dtype),
  )
  if form == 'direct':
    over_positions = (((1,), (1,)), ((0,), (0,)))
    dtype = jnp.promote_types(patches.dtype, cotangent.dtype)
    patches, cotangent = patches.astype(dtype), cotangent.astype(dtype)
    return squared_sum(product(patches, cotangent, over_positions))
  over_features = (((2,), (2,)), ((0,), (0,)))
  patch_gram = product(patches, patches, over_features)
  cotangent_gram = product(cotangent, cotangent, over_features)
  # Rounding can leave a gradient of zero slightly below zero.
  return jnp.maximum(jnp.sum(patch_gram * cotangent_gram), 0)
