"""Squared gradient norms at use sites, one rule for each kind of operation.

A rule sees one equation y = op(x, w) in which parameter w meets data x. Its
`squared_norm(x, dy)` is ||dL/dw||^2 from the input and the output's cotangent
alone. All products are accumulated in float32 (or wider), at the precision that
the equation itself asks for.
"""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from datadiet.scoring.grad_norm import cost


@dataclasses.dataclass(frozen=True)
class Rule:
  """How the squared norm is computed at one use site.

  Attributes:
    form: the form's name in the cost model, or 'index' for gathers.
    data_operand: position of x among the equation's operands.
    squared_norm: (x, dy) -> scalar.
  """

  form: str
  data_operand: int
  squared_norm: Callable[[Any, Any], jax.Array]


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


@jax.custom_vjp
def gate(leaf: jax.Array, accumulator: jax.Array) -> jax.Array:
  """The leaf; the accumulator's cotangent is its whole gradient's squared norm.

  This is the explicit form: JAX itself forms the leaf's gradient, sums it over
  all uses and through all paths, and only its squared norm leaves.
  """
  del accumulator
  return leaf


def _gate_forward(leaf, accumulator):
  del accumulator
  return leaf, None


def _gate_backward(_, cotangent):
  return None, squared_sum(cotangent)


gate.defvjp(_gate_forward, _gate_backward)


def bind_site(
  operation: Callable[[Any, Any], jax.Array],
  rule: Rule,
  data: jax.Array,
  weight: jax.Array,
  accumulator: jax.Array,
) -> jax.Array:
  """operation(data, weight), whose backward pass forms no weight gradient.

  Args:
    operation: (data, weight) -> output.
    rule: the squared norm of the weight's gradient.
    data: the operand that depends on the example.
    weight: the operand that is the parameter, not differentiated.
    accumulator: float32[], its cotangent is the squared norm.

  Returns:
    The operation's output.
  """

  @jax.custom_vjp
  def site(data, weight, accumulator):
    del accumulator
    return operation(data, weight)

  def forward(data, weight, accumulator):
    del accumulator
    return operation(data, weight), (data, weight)

  def backward(residuals, cotangent):
    data, weight = residuals
    data_cotangent = None
    if jnp.issubdtype(data.dtype, jnp.inexact):
      _, pullback = jax.vjp(lambda data: operation(data, weight), data)
      (data_cotangent,) = pullback(cotangent)
    return data_cotangent, None, rule.squared_norm(data, cotangent)

  site.defvjp(forward, backward)
  return site(data, weight, accumulator)


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


def dot_rule(equation: Any, weight_operand: int) -> Rule:
  """The rule of dot_general with the weight on either side."""
  params = equation.params
  contracting, batch = params['dimension_numbers']
  data_operand = 1 - weight_operand
  data_shape = equation.invars[data_operand].aval.shape
  output_shape = equation.outvars[0].aval.shape
  contract_dims = tuple(contracting[data_operand])
  batch_dims = tuple(batch[data_operand])
  free_dims = tuple(
    d for d in range(len(data_shape)) if d not in contract_dims + batch_dims
  )
  num_groups = math.prod(data_shape[d] for d in batch_dims)
  num_positions = math.prod(data_shape[d] for d in free_dims)
  patch_size = math.prod(data_shape[d] for d in contract_dims)
  num_outputs = math.prod(output_shape) // max(num_groups * num_positions, 1)
  form = cost.cheapest_form(
    cost.SiteShape(num_groups, num_positions, patch_size, num_outputs)
  )

  def squared_norm(data, cotangent):
    patches = jnp.transpose(data, batch_dims + free_dims + contract_dims)
    patches = patches.reshape(num_groups, num_positions, patch_size)
    if data_operand == 0:
      cotangent = cotangent.reshape(num_groups, num_positions, num_outputs)
    else:
      cotangent = cotangent.reshape(num_groups, num_outputs, num_positions)
      cotangent = jnp.swapaxes(cotangent, 1, 2)
    return product_squared_norm(patches, cotangent, form, params['precision'])

  return Rule(form, data_operand, squared_norm)


def conv_rule(equation: Any, weight_operand: int) -> Rule | None:
  """The rule of conv_general_dilated with the weight as the kernel."""
  params = equation.params
  if weight_operand != 1 or params['batch_group_count'] != 1:
    return None
  geometry = ConvGeometry.of(equation)
  form = cost.cheapest_form(geometry.site_shape)
  precision = params['precision']

  def squared_norm(data, cotangent):
    data = geometry.padded_input(data)
    cotangent = geometry.grouped_cotangent(cotangent)
    if form == 'shifted_gram':
      return shifted_gram_squared_norm(data, cotangent, geometry, precision)
    shape = geometry.site_shape
    cotangent = cotangent.reshape(
      shape.num_groups, shape.num_positions, shape.num_outputs
    )
    patches = jnp.concatenate(
      [geometry.window(data, offset) for offset in geometry.offsets], axis=-1
    ).reshape(shape.num_groups, shape.num_positions, shape.patch_size)
    return product_squared_norm(patches, cotangent, form, precision)

  return Rule(form, 0, squared_norm)


@dataclasses.dataclass(frozen=True)
class ConvGeometry:
  """A convolution as windows cut from its padded and dilated input."""

  dimension_numbers: lax.ConvDimensionNumbers
  num_groups: int
  num_images: int
  padding: tuple[tuple[int, int], ...]
  input_dilation: tuple[int, ...]
  strides: tuple[int, ...]
  output_shape: tuple[int, ...]
  padded_shape: tuple[int, ...]
  offsets: tuple[tuple[int, ...], ...]
  site_shape: cost.SiteShape

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
    offsets = tuple(
      tuple(tap * d for tap, d in zip(taps, params['rhs_dilation']))
      for taps in itertools.product(*map(range, kernel_shape))
    )
    strides = tuple(params['window_strides'])
    unit_strides = all(stride == 1 for stride in strides)
    channels = data[numbers.lhs_spec[1]] // num_groups
    site_shape = cost.SiteShape(
      num_groups=num_groups,
      num_positions=num_images * math.prod(output_shape),
      patch_size=math.prod(kernel_shape) * channels,
      num_outputs=output[numbers.out_spec[1]] // num_groups,
      num_taps=len(offsets),
      num_padded_positions=num_images * math.prod(padded_shape)
      if unit_strides
      else 0,
    )
    return cls(
      numbers,
      num_groups,
      num_images,
      tuple(params['padding']),
      tuple(params['lhs_dilation']),
      strides,
      output_shape,
      padded_shape,
      offsets,
      site_shape,
    )

  def padded_input(self, data: jax.Array) -> jax.Array:
    """[num_groups, num_images, *padded_shape, channels in a group]."""
    padding = [(0, 0, 0)] * data.ndim
    for d, (low, high), dilation in zip(
      self.dimension_numbers.lhs_spec[2:], self.padding, self.input_dilation
    ):
      padding[d] = (low, high, dilation - 1)
    data = lax.pad(data, jnp.zeros((), data.dtype), padding)
    return self._grouped(data, self.dimension_numbers.lhs_spec)

  def grouped_cotangent(self, cotangent: jax.Array) -> jax.Array:
    """[num_groups, num_images, *output_shape, outputs in a group]."""
    return self._grouped(cotangent, self.dimension_numbers.out_spec)

  def _grouped(self, array, spec):
    array = jnp.transpose(array, (spec[0],) + spec[2:] + (spec[1],))
    array = array.reshape(array.shape[:-1] + (self.num_groups, -1))
    return jnp.moveaxis(array, -2, 0)

  def window(self, padded: jax.Array, offset: tuple[int, ...]) -> jax.Array:
    """What the kernel's tap at `offset` sees: [groups, images, *out, chan]."""
    stops = [
      start + (size - 1) * stride + 1
      for start, size, stride in zip(offset, self.output_shape, self.strides)
    ]
    return lax.slice(
      padded,
      (0, 0, *offset, 0),
      (*padded.shape[:2], *stops, padded.shape[-1]),
      (1, 1, *self.strides, 1),
    )


def shifted_gram_squared_norm(
  data: jax.Array,
  cotangent: jax.Array,
  geometry: ConvGeometry,
  precision: Any,
) -> jax.Array:
  """<P P^T, D D^T> of a stride 1 convolution without forming P.

  The Gram of patches at positions (t, u) is the sum over the kernel's taps s
  of the padded input's Gram at (t + s, u + s): one Gram of the input, and
  windows of it.

  Args:
    data: [num_groups, num_images, *padded_shape, channels].
    cotangent: [num_groups, num_images, *output_shape, num_outputs].
    geometry: of the convolution.
    precision: of the products, as in lax.dot_general.

  Returns:
    float32[].
  """
  groups, images = data.shape[:2]
  product = functools.partial(
    lax.dot_general,
    dimension_numbers=(((2,), (2,)), ((0,), (0,))),
    precision=precision,
    preferred_element_type=sum_dtype(data.dtype),
  )
  flat_data = data.reshape(groups, -1, data.shape[-1])
  flat_cotangent = cotangent.reshape(groups, -1, cotangent.shape[-1])
  data_gram = product(flat_data, flat_data).reshape(
    groups, *(images, *geometry.padded_shape) * 2
  )
  cotangent_gram = product(flat_cotangent, flat_cotangent).reshape(
    groups, *(images, *geometry.output_shape) * 2
  )
  patch_gram = 0
  for offset in geometry.offsets:
    stops = [o + size for o, size in zip(offset, geometry.output_shape)]
    patch_gram += lax.slice(
      data_gram,
      (0, *(0, *offset) * 2),
      (groups, *(images, *stops) * 2),
    )
  return jnp.maximum(jnp.sum(patch_gram * cotangent_gram), 0)


def gather_rule(equation: Any, weight_operand: int) -> Rule | None:
  """The rule of rows taken from a table by index, as in an embedding.

  Rows with equal index add up in the gradient, so the squared norm is the sum
  of <D_i, D_j> over pairs of positions with equal index. Other gathers have no
  rule and take the explicit form.
  """
  numbers = equation.params['dimension_numbers']
  table, indices = (v.aval for v in equation.invars)
  output = equation.outvars[0].aval
  takes_rows = (
    weight_operand == 0
    and tuple(numbers.start_index_map) == (0,)
    and tuple(numbers.collapsed_slice_dims) == (0,)
    and not tuple(numbers.operand_batching_dims)
    and tuple(equation.params['slice_sizes']) == (1, *table.shape[1:])
  )
  row_size = math.prod(table.shape[1:])
  num_positions = math.prod(indices.shape[:-1])
  if not takes_rows or num_positions**2 > 4 * table.shape[0]:
    if not takes_rows or num_positions > table.shape[0]:
      return None
  offset_dims = tuple(numbers.offset_dims)
  position_dims = tuple(d for d in range(output.ndim) if d not in offset_dims)
  mode = equation.params['mode']
  clips = mode == lax.GatherScatterMode.CLIP

  def squared_norm(indices, cotangent):
    rows = jnp.transpose(cotangent, position_dims + offset_dims)
    rows = rows.reshape(1, num_positions, row_size)
    index = indices.reshape(num_positions)
    if clips:
      index = jnp.clip(index, 0, table.shape[0] - 1)
    valid = (index >= 0) & (index < table.shape[0])
    same_row = (index[:, None] == index[None, :]) & valid[:, None]
    row_gram = lax.dot_general(
      rows,
      rows,
      (((2,), (2,)), ((0,), (0,))),
      precision=lax.Precision.HIGHEST,
      preferred_element_type=sum_dtype(rows.dtype),
    )[0]
    return jnp.maximum(jnp.sum(jnp.where(same_row, row_gram, 0)), 0)

  return Rule('index_gram', 1, squared_norm)


RULES = {
  'conv_general_dilated': conv_rule,
  'dot_general': dot_rule,
  'gather': gather_rule,
}
