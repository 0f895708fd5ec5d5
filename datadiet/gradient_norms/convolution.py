"""The squared gradient norm of a convolution's kernel, at its use site.

A convolution is read as windows cut from its padded and dilated input: the
kernel's tap at offset s sees, at output position t, the padded input at
t * stride + s. Everything here works on [groups, images, *spatial, channels].
"""

import dataclasses
import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from datadiet.gradient_norms import cost
from datadiet.gradient_norms.flat import flat_squared_norm
from datadiet.gradient_norms.products import product_squared_norm, sum_dtype


@dataclasses.dataclass(frozen=True)
class ConvGeometry:
  """The sizes and layout of one convolution, for one example.

  Attributes:
    dimension_numbers: where batch, features and space are.
    num_groups: feature groups.
    padding: (low, high) of each spatial axis; negative ones crop.
    input_dilation: of each spatial axis.
    strides: of each spatial axis.
    kernel_dilation: of each spatial axis.
    kernel_shape: taps along each spatial axis.
    output_shape: positions along each spatial axis.
    padded_shape: of the padded and dilated input.
    input_shape: of the input as it is.
    site_shape: what the cost model needs.
    precision: of the products, as the convolution asks for.
  """

  dimension_numbers: lax.ConvDimensionNumbers
  num_groups: int
  padding: tuple[tuple[int, int], ...]
  input_dilation: tuple[int, ...]
  strides: tuple[int, ...]
  kernel_dilation: tuple[int, ...]
  kernel_shape: tuple[int, ...]
  output_shape: tuple[int, ...]
  padded_shape: tuple[int, ...]
  input_shape: tuple[int, ...]
  site_shape: cost.SiteShape
  precision: Any

  @classmethod
  def of(cls, equation: Any) -> 'ConvGeometry':
    """Reads the geometry off a conv_general_dilated equation."""
    params = equation.params
    numbers = params['dimension_numbers']
    data, kernel = (v.aval.shape for v in equation.invars)
    output = equation.outvars[0].aval.shape
    num_groups = params['feature_group_count']
    num_images = data[numbers.lhs_spec[0]]
    kernel_shape = tuple(kernel[d] for d in numbers.rhs_spec[2:])
    output_shape = tuple(output[d] for d in numbers.out_spec[2:])
    padded_shape = tuple(
      low + high + (data[d] - 1) * dilation + 1
      for d, (low, high), dilation in zip(
        numbers.lhs_spec[2:], params['padding'], params['lhs_dilation']
      )
    )
    channels = data[numbers.lhs_spec[1]] // num_groups
    site_shape = cost.SiteShape(
      num_groups=num_groups,
      num_positions=num_images * math.prod(output_shape),
      patch_size=math.prod(kernel_shape) * channels,
      num_outputs=output[numbers.out_spec[1]] // num_groups,
      num_taps=math.prod(kernel_shape),
      num_padded_positions=num_images * math.prod(padded_shape),
    )
    return cls(
      dimension_numbers=numbers,
      num_groups=num_groups,
      padding=tuple(params['padding']),
      input_dilation=tuple(params['lhs_dilation']),
      strides=tuple(params['window_strides']),
      kernel_dilation=tuple(params['rhs_dilation']),
      kernel_shape=kernel_shape,
      output_shape=output_shape,
      padded_shape=padded_shape,
      input_shape=tuple(data[d] for d in numbers.lhs_spec[2:]),
      site_shape=site_shape,
      precision=params['precision'],
    )

  def padded_input(self, data: jax.Array) -> jax.Array:
    """[groups, images, *padded_shape, channels in a group]."""
    padding = [(0, 0, 0)] * data.ndim
    for d, (low, high), dilation in zip(
      self.dimension_numbers.lhs_spec[2:], self.padding, self.input_dilation
    ):
      padding[d] = (low, high, dilation - 1)
    return self.grouped_input(lax.pad(data, jnp.zeros((), data.dtype), padding))

  def grouped_input(self, data: jax.Array) -> jax.Array:
    """[groups, images, *spatial, channels in a group], as it is."""
    return self._grouped(data, self.dimension_numbers.lhs_spec)

  def grouped_cotangent(self, cotangent: jax.Array) -> jax.Array:
    """[groups, images, *output_shape, outputs in a group]."""
    return self._grouped(cotangent, self.dimension_numbers.out_spec)

  def _grouped(self, array, spec):
    array = jnp.transpose(array, (spec[0],) + spec[2:] + (spec[1],))
    array = array.reshape(array.shape[:-1] + (self.num_groups, -1))
    return jnp.moveaxis(array, -2, 0)

  def offsets(self, axis: int) -> list[int]:
    """Where the taps along one spatial axis look, from the window's start."""
    return [
      tap * self.kernel_dilation[axis] for tap in range(self.kernel_shape[axis])
    ]

  def window(self, array: jax.Array, offset: int, axis: int, spatial: int):
    """What taps at `offset` see along `axis`, the spatial axis `spatial`."""
    stride, size = self.strides[spatial], self.output_shape[spatial]
    stop = offset + (size - 1) * stride + 1
    return lax.slice_in_dim(array, offset, stop, stride, axis)


def conv_squared_norm(
  data: jax.Array, cotangent: jax.Array, geometry: ConvGeometry, form: str
) -> jax.Array:
  """The squared norm of the kernel's gradient.

  Args:
    data: the convolution's input, in its own layout.
    cotangent: the output's cotangent, in its own layout.
    geometry: of the convolution.
    form: 'direct', 'gram', 'shifted_gram' or, where `is_flat`, 'flat'.

  Returns:
    float32[].
  """
  cotangent = geometry.grouped_cotangent(cotangent)
  if form == 'flat':
    return flat_squared_norm(geometry.grouped_input(data), cotangent, geometry)
  data = geometry.padded_input(data)
  if form == 'direct':
    return _direct(data, cotangent, geometry)
  if form == 'shifted_gram':
    return _shifted_gram(data, cotangent, geometry)
  patches = _patches(data, geometry, range(len(geometry.output_shape)))
  return product_squared_norm(
    _rows(patches), _rows(cotangent), 'gram', geometry.precision
  )


def _rows(array):
  """[groups, images, *spatial, channels] -> [groups, positions, channels]."""
  return array.reshape(array.shape[0], -1, array.shape[-1])


def _patches(data, geometry, spatial_axes):
  """What all taps along some spatial axes see, side by side in the channels."""
  for spatial in spatial_axes:
    windows = [
      geometry.window(data, offset, 2 + spatial, spatial)
      for offset in geometry.offsets(spatial)
    ]
    data = jnp.concatenate(windows, axis=-1)
  return data


def _direct(data, cotangent, geometry):
  """||P^T D||^2, one row of taps at a time, so that P is seldom whole.

  The taps along the last spatial axis become shifted copies side by side: of
  the cotangent at stride 1, as rows of the padded input are then used as they
  lie in memory; of the input otherwise. Where P is smaller than those copies
  (an image's three channels), it is formed whole.
  """
  num_spatial = len(geometry.output_shape)
  shape, last = geometry.site_shape, num_spatial - 1
  product = functools.partial(
    product_squared_norm, form='direct', precision=geometry.precision
  )
  if shape.patch_size <= geometry.kernel_shape[last] * shape.num_outputs:
    data = _patches(data, geometry, range(num_spatial))
    return product(_rows(data), _rows(cotangent))
  if geometry.strides[last] == 1:
    cotangent = _shifted_cotangents(cotangent, geometry)
  else:
    data = _patches(data, geometry, [last])
  cotangent = _rows(cotangent)
  total = 0
  for offsets in itertools.product(*map(geometry.offsets, range(last))):
    rows = data
    for spatial, offset in enumerate(offsets):
      rows = geometry.window(rows, offset, 2 + spatial, spatial)
    total += product(_rows(rows), cotangent)
  return total


def _shifted_cotangents(cotangent, geometry):
  """The cotangent under every tap of the last spatial axis, side by side.

  A tap at offset s sees column t + s, so its copy is moved by s in a row as
  wide as the padded input's. Pads into disjoint channels are added up, which
  XLA fuses into one pass where it would write out the parts of a concatenation.
  """
  last = len(geometry.output_shape) - 1
  offsets, num_outputs = geometry.offsets(last), cotangent.shape[-1]
  width = geometry.padded_shape[last]
  zero, total = jnp.zeros((), cotangent.dtype), 0
  for tap, offset in enumerate(offsets):
    padding = [(0, 0, 0)] * cotangent.ndim
    after = width - offset - geometry.output_shape[last]
    padding[2 + last] = (offset, after, 0)
    num_later = len(offsets) - 1 - tap
    padding[-1] = (tap * num_outputs, num_later * num_outputs, 0)
    total += lax.pad(cotangent, zero, padding)
  return total


def _shifted_gram(data, cotangent, geometry):
  """<P P^T, D D^T> without forming P.

  The Gram of patches at positions (t, u) is the sum over the kernel's taps s
  of the padded input's Gram at (t + s, u + s): one Gram of the input and sums
  of its windows, one spatial axis after the other.
  """
  groups, images = data.shape[:2]
  num_spatial = len(geometry.output_shape)
  product = functools.partial(
    lax.dot_general,
    dimension_numbers=(((2,), (2,)), ((0,), (0,))),
    precision=geometry.precision,
    preferred_element_type=sum_dtype(data.dtype),
  )
  data, cotangent = _rows(data), _rows(cotangent)
  gram = product(data, data).reshape(
    groups, *(images, *geometry.padded_shape) * 2
  )
  for spatial in range(num_spatial):
    row_axis = 2 + spatial
    column_axis = row_axis + 1 + num_spatial
    windows = 0
    for offset in geometry.offsets(spatial):
      window = geometry.window(gram, offset, row_axis, spatial)
      windows += geometry.window(window, offset, column_axis, spatial)
    gram = windows
  gram = gram.reshape(groups, cotangent.shape[1], cotangent.shape[1])
  return jnp.maximum(jnp.sum(gram * product(cotangent, cotangent)), 0)
