"""A two-dimensional convolution's squared gradient norm at flat positions.

The other forms cut windows out of [height, width], and each of these is laid
out anew before it is multiplied, which costs TPUs many times the product. With
positions in one axis, a tap that looks at another row is a slice, one that
looks at another column a shift, with what crosses a row's end set to zero: both
become part of reading the product's operands.
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
  moved = {
    shift: _moved(_flat(cotangent), shift, width)
    for shift in {shift for _, shift in looks[1]}
  }
  total: Any = 0
  for row_phase, column_phase in itertools.product(
    *(sorted({phase for phase, _ in axis}) for axis in looks)
  ):
    part = _flat(_phase(data, geometry.strides, (row_phase, column_phase)))
    row_shifts = [shift for phase, shift in looks[0] if phase == row_phase]
    columns = [shift for phase, shift in looks[1] if phase == column_phase]
    before = max(0, -min(row_shifts))
    part = _padded(part, width * before, width * max(0, *row_shifts))
    for row, column in itertools.product(row_shifts, columns):
      first = width * (before + row)
      rows = lax.slice_in_dim(
        part, first, first + width * height, axis=part.ndim - 2
      )
      product = _product(rows, moved[column], geometry.precision)
      total += squared_sum(product)
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
  numbers out once for the product and once for moving them.
  """
  lead = () if array.shape[:2] == (1, 1) else array.shape[:2]
  return array.reshape(*lead, -1, array.shape[-1])


def _padded(flat, before, after):
  """More positions at the ends, zeros, or fewer."""
  padding = [(0, 0, 0)] * flat.ndim
  padding[-2] = (before, after, 0)
  return lax.pad(flat, jnp.zeros((), flat.dtype), padding)


def _moved(flat, shift, width):
  """Every row moved by some columns, zeros where there is nothing."""
  if shift == 0:
    return flat
  column = jnp.arange(flat.shape[-2]) % width - shift
  is_inside = (column >= 0) & (column < width)
  moved = _padded(flat, shift, -shift)
  return jnp.where(is_inside[:, None], moved, jnp.zeros((), flat.dtype))


def _product(rows, moved, precision):
  """Summed over images and positions: [groups, channels, outputs]."""
  groups = (0,) if rows.ndim == 4 else ()
  summed = tuple(range(len(groups), rows.ndim - 1))
  return lax.dot_general(
    rows,
    moved,
    ((summed, summed), (groups, groups)),
    precision=precision,
    preferred_element_type=sum_dtype(rows.dtype),
  )
