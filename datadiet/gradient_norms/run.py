"""Evaluates a plan: the loss with its use sites rewritten."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from datadiet.gradient_norms import sites
from datadiet.gradient_norms.plan import Step


def run_steps(
  steps: Sequence[Step],
  values: dict[int, jax.Array],
  accumulators: Sequence[jax.Array],
) -> None:
  """Evaluates steps in order.

  Args:
    steps: of a plan.
    values: value id -> value, read and added to.
    accumulators: for each leaf, float32[] zero; the cotangent that reaches it
      is the leaf's squared gradient norm.
  """
  for step in steps:
    inputs = [values[value] for value in step.inputs]
    if step.body is not None:
      outputs = _run_rematerialised(step, inputs, values, accumulators)
    elif step.site is not None:
      outputs = [_run_site(step, inputs, values, accumulators)]
    else:
      assert step.evaluate is not None  # A step is one of the three.
      outputs = step.evaluate(*inputs)
    values.update(zip(step.outputs, outputs))


def _run_site(step, inputs, values, accumulators):
  """Evaluates a use site with a rule."""
  site = step.site
  data_operand = site.rule.data_operand
  accumulator = accumulators[site.leaf]
  for factor, divides in site.factors:
    # The leaf's gradient is the operand's times the factor, whose square may
    # be out of its own type's range.
    scale = jnp.reshape(values[factor], ()).astype(accumulator.dtype)
    square = jnp.square(scale)
    accumulator = accumulator / square if divides else accumulator * square

  def operation(data, weight):
    operands = (data, weight) if data_operand == 0 else (weight, data)
    return step.evaluate(*operands)[0]

  return sites.bind_site(
    operation,
    site.rule,
    inputs[data_operand],
    inputs[1 - data_operand],
    accumulator,
  )


def _run_rematerialised(step, inputs, values, accumulators):
  """Evaluates a body under jax.checkpoint, as the loss asked for."""
  params = step.equation.params
  outer_values = dict(values)

  def body(inputs, accumulators):
    inner_values = dict(outer_values)
    inner_values.update(zip(step.inputs, inputs))
    run_steps(step.body, inner_values, accumulators)
    return [inner_values[value] for value in step.body_outputs]

  rematerialised = jax.checkpoint(
    body,
    prevent_cse=params.get('prevent_cse', True),
    policy=params.get('policy'),
  )
  return rematerialised(inputs, accumulators)
