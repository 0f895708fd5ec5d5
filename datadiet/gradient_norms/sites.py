"""Squared gradient norms at use sites, one rule for each kind of operation.

A rule sees one equation y = op(x, w) in which parameter w meets data x. Its
`squared_norm(x, dy)` is ||dL/dw||^2 from the input and the output's cotangent
alone. All products are accumulated in float32 (or wider), at the precision that
the equation itself asks for.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from datadiet.gradient_norms import cost
from datadiet.gradient_norms.convolution import ConvGeometry, conv_squared_norm
from datadiet.gradient_norms.flat import is_flat
from datadiet.gradient_norms.products import (
  product_squared_norm,
  squared_sum,
  sum_dtype,
)


@dataclasses.dataclass(frozen=True)
class Rule:
  """How the squared norm is computed at one use site.

  Attributes:
    form: the form's name in the cost model, or 'index_gram' for gathers.
    data_operand: position of x among the equation's operands.
    squared_norm: (x, dy) -> scalar.
    platform: what it is to run on, 'cpu', 'gpu' or 'tpu'.
  """

  form: str
  data_operand: int
  squared_norm: Callable[[Any, Any], jax.Array]
  platform: str = 'cpu'


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
    inputs = _apart(data, cotangent, rule.platform)
    return data_cotangent, None, rule.squared_norm(*inputs)

  site.defvjp(forward, backward)
  return site(data, weight, accumulator)


def _apart(
  data: jax.Array, cotangent: jax.Array, platform: str
) -> tuple[jax.Array, jax.Array]:
  """Both, the data made to depend on the cotangent.

  Otherwise XLA may lay out the patches of all layers during the forward pass
  and keep them until the backward pass. Its optimization_barrier says so more
  plainly and keeps TPUs from writing either in the layouts of both passes, but
  is dropped before scheduling on CPU. There a cotangent that is not a number
  makes the norm so whatever the data.
  """
  if platform == 'tpu':
    return lax.optimization_barrier((data, cotangent))
  if cotangent.size == 0:
    return data, cotangent
  first = cotangent.reshape(-1)[0]
  return jnp.where(first == first, data, jnp.zeros_like(data)), cotangent


def dot_rule(equation: Any, weight_operand: int, platform: str) -> Rule:
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
    cost.SiteShape(num_groups, num_positions, patch_size, num_outputs), platform
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

  return Rule(form, data_operand, squared_norm, platform)


def conv_rule(equation: Any, weight_operand: int, platform: str) -> Rule | None:
  """The rule of conv_general_dilated with the weight as the kernel."""
  if weight_operand != 1 or equation.params['batch_group_count'] != 1:
    return None
  geometry = ConvGeometry.of(equation)
  form = cost.cheapest_form(geometry.site_shape, platform, is_flat(geometry))

  def squared_norm(data, cotangent):
    return conv_squared_norm(data, cotangent, geometry, form)

  return Rule(form, 0, squared_norm, platform)


def gather_rule(
  equation: Any, weight_operand: int, platform: str
) -> Rule | None:
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
  if not takes_rows or not cost.gathers_by_index(
    num_positions, table.shape[0], row_size
  ):
    return None
  offset_dims = tuple(numbers.offset_dims)
  position_dims = tuple(d for d in range(output.ndim) if d not in offset_dims)
  mode = equation.params['mode']
  clips = mode == lax.GatherScatterMode.CLIP

  def squared_norm(indices, cotangent):
    rows = jnp.transpose(cotangent, position_dims + offset_dims)
    rows = rows.reshape(1, num_positions, row_size)
    index = indices.reshape(num_positions)
    if index.dtype.itemsize < 4:
      # Narrow integers may not hold the number of rows.
      index = index.astype(jnp.int32)
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

  return Rule('index_gram', 1, squared_norm, platform)


RULES = {
  'conv_general_dilated': conv_rule,
  'dot_general': dot_rule,
  'gather': gather_rule,
}


def rule_of(equation: Any, weight_operand: int, platform: str) -> Rule | None:
  """The rule of an equation; None where there is none, as for complex numbers.

  The products of the rules are of real numbers, without conjugates.
  """
  make_rule = RULES.get(equation.primitive.name)
  dtypes = [v.aval.dtype for v in (*equation.invars, *equation.outvars)]
  if make_rule is None or not all(
    jnp.issubdtype(dtype, jnp.floating) or jnp.issubdtype(dtype, jnp.integer)
    for dtype in dtypes
  ):
    return None
  return make_rule(equation, weight_operand, platform)
