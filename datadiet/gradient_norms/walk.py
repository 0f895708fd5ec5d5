"""Follows parameter leaves through a traced loss to where they meet data.

The walk is static: it reads the jaxpr, computes nothing, and returns a `Plan`,
the flat list of equations to evaluate with the use sites marked. A value is

  STATIC    if it depends neither on the example nor on a leaf,
  DATA      if it depends on the example (every output of a use site does),
  Linear    if it is an affine function of one leaf and has met no data yet,
  Obstacle  if it is any other function of leaves and has met no data yet.

An obstacle that meets data, or is the loss, means that the leaf cannot be
followed; one that is only stopped (jax.lax.stop_gradient) does no harm.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from datadiet.gradient_norms import sites
from datadiet.gradient_norms.plan import Linear, Obstacle, Plan, Site, Step, Use

STATIC = 'static'
DATA = 'data'

# Nested jaxprs that are evaluated in place, so that leaves can be followed in.
INLINED = frozenset({'jit', 'pjit', 'closed_call', 'core_call'})
REMATERIALISED = frozenset({'checkpoint', 'remat', 'remat2'})
# Functions with a derivative of their own. They are bound as they are; where a
# leaf enters one, that derivative gives its explicit gradient.
CUSTOM_DERIVATIVE = frozenset(
  {'custom_jvp_call', 'custom_vjp_call', 'custom_vjp_call_jaxpr', 'custom_lin'}
)
# Linear operations that keep the leaf's numbers, so its norm is theirs.
ISOMETRIC = frozenset(
  {
    'convert_element_type',
    'copy',
    'copy_p',
    'expand_dims',
    'name',
    'neg',
    'pcast',
    'pvary',
    'reshape',
    'rev',
    'sharding_constraint',
    'squeeze',
    'transpose',
  }
)


class ObstacleError(Exception):
  """Ends a walk at an obstacle."""

  def __init__(self, obstacle: Obstacle):
    super().__init__(obstacle.reason)
    self.obstacle = obstacle


def make_plan(
  closed_jaxpr: Any, followed: Sequence[bool], platform: str
) -> Plan:
  """Follows leaves through a loss and picks the form of each use site.

  Args:
    closed_jaxpr: of loss(*leaves, *example leaves) -> scalar.
    followed: for each leaf, whether its gradient is wanted.
    platform: what it is to run on, 'cpu', 'gpu' or 'tpu'.

  Returns:
    The plan; with an obstacle, its steps are incomplete and must not be run.
  """
  walk = _Walk()
  num_examples = len(closed_jaxpr.jaxpr.invars) - len(followed)
  kinds = [Linear(leaf) if wanted else STATIC for leaf, wanted in
           enumerate(followed)] + [DATA] * num_examples  # fmt: skip
  inputs = [walk.new_value(kind) for kind in kinds]
  obstacle, output = None, -1
  steps: list[Step] = []
  try:
    steps, (output,) = walk.follow(
      closed_jaxpr.jaxpr, closed_jaxpr.consts, inputs
    )
    kind = walk.kinds[output]
    if isinstance(kind, Linear):
      reason = 'it reaches the loss without meeting data'
      obstacle = Obstacle(kind.leaf, 'the loss', reason)
    elif isinstance(kind, Obstacle):
      obstacle = kind
  except ObstacleError as error:
    obstacle = error.obstacle
  gated = frozenset(
    leaf for leaf, uses in walk.uses.items() if not _place_site(uses, platform)
  )
  return Plan(
    steps, walk.constants, tuple(inputs), output, walk.uses, gated, obstacle
  )


def _place_site(uses: list[Use], platform: str) -> bool:
  """Marks a leaf's only use as a site if a rule covers it."""
  if len(uses) != 1:
    return False
  (use,) = uses
  if not use.value.isometric or len(use.step.inputs) != 2:
    return False
  rule = sites.rule_of(use.step.equation, use.operand, platform)
  if rule is None:
    return False
  use.step.site = Site(use.leaf, rule, use.value.factors)
  return True


class _Walk:
  """The state of one walk: the kind of every value, and the uses found."""

  def __init__(self):
    self.kinds: list[Any] = []
    self.constants: dict[int, Any] = {}
    self.uses: dict[int, list[Use]] = {}

  def new_value(self, kind: Any) -> int:
    self.kinds.append(kind)
    return len(self.kinds) - 1

  def new_constant(self, value: Any) -> int:
    value_id = self.new_value(STATIC)
    self.constants[value_id] = value
    return value_id

  def follow(
    self, jaxpr: Any, constants: Sequence[Any], inputs: Sequence[int]
  ) -> tuple[list[Step], list[int]]:
    """Walks one jaxpr, nested ones included; returns steps and output ids."""
    ids = dict(zip(jaxpr.constvars, map(self.new_constant, constants)))
    ids.update(zip(jaxpr.invars, inputs))

    def value_id(atom):
      if isinstance(atom, core.Literal):
        return self.new_constant(atom.val)
      return ids[atom]

    steps = []
    for equation in _live_equations(jaxpr):
      operands = [value_id(atom) for atom in equation.invars]
      new_steps, outputs = self._equation(jaxpr, equation, operands)
      steps += new_steps
      ids.update(zip(equation.outvars, outputs))
    return steps, [value_id(atom) for atom in jaxpr.outvars]

  def _equation(self, jaxpr, equation, operands):
    """Steps and output ids of one equation, whose operands are value ids."""
    name = equation.primitive.name
    followed = sorted(
      {v for v in operands if isinstance(self.kinds[v], (Linear, Obstacle))}
    )
    if followed and name in INLINED:
      return self.follow(*_nested(equation), operands)
    if followed and name in REMATERIALISED:
      return self._rematerialised(equation, operands)
    step = _evaluated_step(jaxpr, equation, operands)
    meets_data = any(self.kinds[value] is DATA for value in operands)
    if followed and not _has_zero_derivative(equation):
      kind = self._followed_kind(step, operands, followed, meets_data)
    else:
      kind = DATA if meets_data else STATIC
    step.outputs = tuple(self.new_value(kind) for _ in equation.outvars)
    return [step], step.outputs

  def _followed_kind(self, step, operands, followed, meets_data):
    """The kind of an equation's results where leaves are among its operands."""
    obstacle = self._obstacle(step, followed, meets_data)
    if obstacle is not None:
      if meets_data:
        raise ObstacleError(obstacle)
      return obstacle
    if not meets_data:
      return self._linear_kind(step.equation, operands, followed[0])
    for value in followed:
      linear = self.kinds[value]
      name, operand = step.equation.primitive.name, step.inputs.index(value)
      use = Use(linear.leaf, name, step, operand, linear)
      self.uses.setdefault(linear.leaf, []).append(use)
    return DATA

  def _obstacle(self, step, followed, meets_data):
    """Why leaves cannot be followed through an equation, if they cannot."""
    for value in followed:
      if isinstance(self.kinds[value], Obstacle):
        return self.kinds[value]
    reason = ''
    if _is_control_flow(step.equation):
      reason = 'it is used inside control flow'
    elif not meets_data and len(followed) > 1:
      reason = 'it meets another function of parameters before any data'
    elif not meets_data and not _is_affine(step, followed[0]):
      reason = 'it is changed by a non-linear operation'
    if not reason:
      return None
    leaf = min(self.kinds[value].leaf for value in followed)
    return Obstacle(leaf, step.equation.primitive.name, reason)

  def _linear_kind(self, equation, operands, value):
    """The kind of a result that is affine in one leaf."""
    name, linear = equation.primitive.name, self.kinds[value]
    position = operands.index(value)
    operand, result = equation.invars[position].aval, equation.outvars[0].aval
    if name in ISOMETRIC:
      isometric = jnp.issubdtype(operand.dtype, jnp.floating) and (
        jnp.issubdtype(result.dtype, jnp.floating)
      )
    elif name == 'broadcast_in_dim':
      isometric = result.size == operand.size
    elif (
      name in ('mul', 'div') and equation.invars[1 - position].aval.size == 1
    ):
      factor = (operands[1 - position], name == 'div')
      return dataclasses.replace(linear, factors=(*linear.factors, factor))
    else:
      isometric = False
    return dataclasses.replace(linear, isometric=linear.isometric and isometric)

  def _rematerialised(self, equation, operands):
    """A step whose body, with the sites in it, runs under jax.checkpoint."""
    first_inner = len(self.kinds)
    body, outputs = self.follow(*_nested(equation), operands)
    reads = {value for step in body for value in step.inputs} | set(outputs)
    outer = sorted(
      value
      for value in reads
      if value < first_inner and value not in self.constants
    )
    step_outputs = []
    for value in outputs:
      kind = self.kinds[value]
      if isinstance(kind, Linear) and any(
        factor >= first_inner for factor, _ in kind.factors
      ):
        # Factors computed inside the body are not to be had outside.
        kind = dataclasses.replace(kind, isometric=False)
      step_outputs.append(self.new_value(kind))
    step = Step(
      equation,
      tuple(outer),
      tuple(step_outputs),
      body=body,
      body_outputs=tuple(outputs),
    )
    return [step], step_outputs


def _live_equations(jaxpr):
  """Equations that the jaxpr's results need; what is unused has no gradient."""
  needed = set(filter(_is_variable, jaxpr.outvars))
  live = []
  for equation in reversed(jaxpr.eqns):
    if equation.effects or not needed.isdisjoint(equation.outvars):
      live.append(equation)
      needed.update(filter(_is_variable, equation.invars))
  return live[::-1]


def _nested(equation):
  """The jaxpr nested in a call and its constants."""
  params = equation.params
  nested = params['jaxpr'] if 'jaxpr' in params else params['call_jaxpr']
  return getattr(nested, 'jaxpr', nested), getattr(nested, 'consts', ())


def _is_control_flow(equation):
  if equation.primitive.name in CUSTOM_DERIVATIVE:
    return False
  return any(True for _ in core.jaxprs_in_params(equation.params))


def _is_affine(step, value):
  """Whether an equation is affine in one input when the others are static.

  It is if its derivative does not depend on that input, which is read off the
  traced derivative: a leaf's gradient is then exact whatever the operation.
  """
  if step.equation.primitive.name in ISOMETRIC:
    return True
  position = step.inputs.index(value)

  def derivative(inputs, tangent):
    def evaluate(operand):
      return step.evaluate(*inputs[:position], operand, *inputs[position + 1 :])

    return jax.jvp(evaluate, (inputs[position],), (tangent,))[1]

  inputs = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in step.avals]
  try:
    traced = jax.make_jaxpr(derivative)(inputs, inputs[position])
  except (TypeError, ValueError, NotImplementedError):
    # No forward derivative (custom_vjp) or not traceable alone: not known to
    # be affine, and the plain gradient is always right.
    return False
  reads = set(filter(_is_variable, traced.jaxpr.outvars))
  for equation in _live_equations(traced.jaxpr):
    reads.update(filter(_is_variable, equation.invars))
  return traced.jaxpr.invars[position] not in reads


def _is_variable(atom):
  return not isinstance(atom, core.Literal)


def _has_zero_derivative(equation):
  """Whether no gradient flows through: stop_gradient, integer results."""
  return equation.primitive.name == 'stop_gradient' or not any(
    jnp.issubdtype(v.aval.dtype, jnp.inexact) for v in equation.outvars
  )


def _evaluated_step(jaxpr, equation, operands):
  """A step that evaluates the equation as JAX would, whatever it is."""
  slots, inputs = {}, {}
  for atom, value in zip(equation.invars, operands):
    if _is_variable(atom):
      # Two variables can be one value, as in jit(f)(w, w).
      inputs.setdefault(value, atom)
      slots[atom] = list(inputs).index(value)
  single = jaxpr.replace(
    constvars=[],
    invars=list(slots),
    outvars=list(equation.outvars),
    eqns=[equation],
    effects=equation.effects,
  )
  evaluate_variables = core.jaxpr_as_fun(core.ClosedJaxpr(single, []))

  def evaluate(*values):
    return evaluate_variables(*[values[slot] for slot in slots.values()])

  return Step(
    equation,
    inputs=tuple(inputs),
    outputs=(),
    avals=tuple(variable.aval for variable in inputs.values()),
    evaluate=evaluate,
  )
