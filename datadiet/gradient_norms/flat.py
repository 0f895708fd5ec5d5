"""A two-dimensional convolution's squared gradient norm at flat positions.

The other forms cut windows out of [height, width], and each of these is laid
out anew before it is multiplied, which costs TPUs many times the product. With
positions in one axis, what a tap looks at is a slice, with what is beyond a
row's ends set to zero: both become part of reading the product's operand.
"""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from datadiet.gradient_norms.products import squared_sum, sum_dtype


def is_flat(geometry: Any) -> bool:
  """Whether the form applies to a convolution.

  Args:
    geometry: a `ConvGeometry` of two spatial axes. With stride s the input is
      read as s x s images, which must have the size of the output.
  """
  return (
    len(geometry.output_shape) == 2
    and geometry.site_shape.num_taps > 1
    and set(geometry.input_dilation) == {1}
    and all(
      size == stride * output
      for size, stride, output in zip(
        geometry.input_shape, geometry.strides, geometry.output_shape
      )
    )
  )


def flat_squared_norm(
  data: jax.Array, cotangent: jax.Array, geometry: Any
) -> jax.Array:
  """||P^T D||^2, one tap after the other.

  Args:
    data: [groups, images, height, width, channels], not padded.
    cotangent: [groups, images, *output_shape, outputs].
    geometry: a `ConvGeometry` for which `is_flat` holds.

  Returns:
    float32[].
  """
  dtype = jnp.promote_types(data.dtype, cotangent.dtype)
  data, cotangent = data.astype(dtype), cotangent.astype(dtype)
  height, width = geometry.output_shape
  looks = [_looks(geometry, axis) for axis in range(2)]
  cotangent, column = _flat(cotangent), jnp.arange(height * width) % width
  total: Any = 0
  for phases in itertools.product(
    *(sorted({phase for phase, _ in axis}) for axis in looks)
  ):
    rows, columns = (
      [shift for phase, shift in axis if phase == wanted]
      for axis, wanted in zip(looks, phases)
    )
    shifts = [width * row + column for row in rows for column in columns]
    before, after = max(0, -min(shifts)), max(0, *shifts)
    part = _flat(_phase(data, geometry.strides, phases))
    part = _padded(part, before, after)
    for row, shift in itertools.product(rows, columns):
      first = before + width * row + shift
      seen = lax.slice_in_dim(
        part, first, first + height * width, axis=part.ndim - 2
      )
      if shift:
        is_inside = (column + shift >= 0) & (column + shift < width)
        seen = jnp.where(is_inside[:, None], seen, jnp.zeros((), dtype))
      total += squared_sum(_product(seen, cotangent, geometry.precision))
  return total


def _looks(geometry, axis):
  """What every tap along an axis sees: (phase, shift).

  At output position t, a tap sees the input at t * stride + offset, which is
  position t + shift of the image made of every stride-th pixel from `phase` on.
  """
  low, _ = geometry.padding[axis]
  stride = geometry.strides[axis]
  offsets = (offset - low for offset in geometry.offsets(axis))
  return [(offset % stride, offset // stride) for offset in offsets]


def _phase(data, strides, phases):
  for axis, (stride, phase) in enumerate(zip(strides, phases)):
    if stride > 1:
      size = data.shape[2 + axis]
      data = lax.slice_in_dim(data, phase, size, stride, 2 + axis)
  return data


def _flat(array):
  """[groups, images, height, width, n] -> [groups, images, positions, n].

  Without the first two axes where they are 1: otherwise TPUs lay the same
  numbers out more than once.
  """
  lead = () if array.shape[:2] == (1, 1) else array.shape[:2]
  return array.reshape(*lead, -1, array.shape[-1])


def _padded(flat, before, after):
  """With positions of zeros at both ends."""
  padding = [(0, 0, 0)] * flat.ndim
  padding[-2] = (before, after, 0)
  return lax.pad(flat, jnp.zeros((), flat.dtype), padding)


def _product(seen, cotangent, precision):
  """Summed over images and positions: [groups, channels, outputs]."""
  groups = (0,) if seen.ndim == 4 else ()
  summed = tuple(range(len(groups), seen.ndim - 1))
  return lax.dot_general(
    seen,
    cotangent,
    ((summed, summed), (groups, groups)),
    precision=precision,
    preferred_element_type=sum_dtype(seen.dtype),
  )
