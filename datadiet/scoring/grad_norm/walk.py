"""Follows parameter leaves through a traced loss to where they meet data.

The walk is static: it reads the jaxpr, runs nothing, and returns a `Plan`, the
flat list of equations to evaluate with the use sites marked. A value is one of

  STATIC  depends neither on the example nor on a leaf that is followed,
  DATA    depends on the example (every output of a use site does),
  Linear  is an affine function of one leaf and has met no data yet.

A leaf that cannot be followed (a non-linear operation, another leaf, control
flow, the loss itself before any data) is an `Obstacle`; it is never dropped.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from datadiet.scoring.grad_norm import sites

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
# Operations that are affine in any one operand when the others are static.
AFFINE = frozenset(
  {
    'add',
    'add_any',
    'broadcast_in_dim',
    'concatenate',
    'conv_general_dilated',
    'cumsum',
    'dot_general',
    'mul',
    'reduce_sum',
    'slice',
    'split',
    'sub',
  }
)
# Operations that are affine in their first operand.
AFFINE_IN_FIRST = frozenset({'div', 'dynamic_slice', 'gather', 'pad'})


@dataclasses.dataclass(frozen=True)
class Linear:
  """An affine function of one leaf.

  Attributes:
    leaf: the leaf's position among all leaves.
    isometric: whether it is a rearrangement of the leaf's numbers, times
      the static factors.
    factors: ids of static scalars, each with whether it divides.
  """

  leaf: int
  isometric: bool = True
  factors: tuple[tuple[int, bool], ...] = ()


@dataclasses.dataclass
class Use:
  """A leaf that meets data in an equation."""

  leaf: int
  operation: str
  step: 'Step'
  operand: int
  value: Linear


@dataclasses.dataclass
class Site:
  """What the executor needs at a use site with a rule."""

  leaf: int
  rule: sites.Rule
  factors: tuple[tuple[int, bool], ...]


@dataclasses.dataclass
class Step:
  """One equation to evaluate; inputs and outputs are value ids.

  Attributes:
    equation: the equation.
    inputs: one id for each distinct variable read (literals stay inside).
    outputs: ids of the results.
    evaluate: (*inputs) -> list of outputs.
    site: set where the leaf among the inputs has a rule.
    body: the steps of a rematerialised function, evaluated under
      jax.checkpoint instead of `evaluate`.
    body_outputs: ids of its results.
  """

  equation: Any
  inputs: tuple[int, ...]
  outputs: tuple[int, ...]
  evaluate: Callable[..., list[jax.Array]] | None = None
  site: Site | None = None
  body: list['Step'] | None = None
  body_outputs: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True)
class Obstacle:
  """Why a leaf cannot be followed, and at which operation."""

  leaf: int
  operation: str
  reason: str


@dataclasses.dataclass
class Plan:
  """A loss as flat steps with the use sites of its leaves.

  Attributes:
    steps: to evaluate in order.
    constants: value id -> value, known before the first step.
    inputs: ids of the loss function's flat inputs, the leaves first.
    output: id of the loss.
    uses: leaf -> where it meets data.
    gated: leaves whose explicit gradient is formed.
    obstacle: the first leaf that cannot be followed, if any.
  """

  steps: list[Step]
  constants: dict[int, Any]
  inputs: tuple[int, ...]
  output: int
  uses: dict[int, list[Use]]
  gated: frozenset[int]
  obstacle: Obstacle | None


class ObstacleError(Exception):
  """Ends a walk at an obstacle."""

  def __init__(self, obstacle: Obstacle):
    super().__init__(obstacle.reason)
    self.obstacle = obstacle


def make_plan(closed_jaxpr: Any, followed: Sequence[bool]) -> Plan:
  """Follows leaves through a loss and picks the form of each use site.

  Args:
    closed_jaxpr: of loss(*leaves, *example leaves) -> scalar.
    followed: for each leaf, whether its gradient is wanted.

  Returns:
    The plan; with an obstacle, its steps are incomplete and must not be run.
  """
  walk = _Walk()
  num_examples = len(closed_jaxpr.jaxpr.invars) - len(followed)
  kinds = [Linear(leaf) if wanted else STATIC for leaf, wanted in
           enumerate(followed)] + [DATA] * num_examples  # fmt: skip
  inputs = [walk.new_value(kind) for kind in kinds]
  obstacle, steps, output = None, [], -1
  try:
    steps, (output,) = walk.follow(
      closed_jaxpr.jaxpr, closed_jaxpr.consts, inputs
    )
    if isinstance(walk.kinds[output], Linear):
      raise ObstacleError(
        Obstacle(
          walk.kinds[output].leaf, 'the loss', 'it reaches the loss before data'
        )
      )
  except ObstacleError as error:
    obstacle = error.obstacle
  gated = frozenset(
    leaf for leaf, uses in walk.uses.items() if not _place_site(uses)
  )
  return Plan(
    steps, walk.constants, tuple(inputs), output, walk.uses, gated, obstacle
  )


def _place_site(uses: list[Use]) -> bool:
  """Marks a leaf's only use as a site if a rule covers it."""
  if len(uses) != 1:
    return False
  (use,) = uses
  make_rule = sites.RULES.get(use.operation)
  if make_rule is None or not use.value.isometric or len(use.step.inputs) != 2:
    return False
  rule = make_rule(use.step.equation, use.operand)
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
    leaves = {
      value for value in operands if isinstance(self.kinds[value], Linear)
    }
    if leaves and name in INLINED:
      return self.follow(*_nested(equation), operands)
    if leaves and name in REMATERIALISED:
      return self._rematerialised(equation, operands)
    step = _evaluated_step(jaxpr, equation, operands)
    others = [self.kinds[value] for value in operands if value not in leaves]
    meets_data = DATA in others
    kind = DATA if meets_data else STATIC
    num_outputs = len(equation.outvars)
    if leaves and not _has_zero_derivative(equation):
      if _is_control_flow(equation):
        self._stop(leaves, name, 'it is used inside control flow')
      if meets_data:
        self._add_uses(step, leaves)
      elif len(leaves) > 1:
        self._stop(leaves, name, 'it meets another parameter before any data')
      else:
        (value,) = leaves
        kind = self._linear_kind(equation, operands, value)
    step.outputs = tuple(self.new_value(kind) for _ in range(num_outputs))
    return [step], step.outputs

  def _add_uses(self, step, leaves):
    for value in sorted(leaves):
      linear = self.kinds[value]
      use = Use(
        linear.leaf,
        step.equation.primitive.name,
        step,
        step.inputs.index(value),
        linear,
      )
      self.uses.setdefault(linear.leaf, []).append(use)

  def _linear_kind(self, equation, operands, value):
    """The kind of a result that is affine in one leaf, or an obstacle."""
    name, linear = equation.primitive.name, self.kinds[value]
    position = operands.index(value)
    affine = operands.count(value) == 1 and (
      name in ISOMETRIC
      or name in AFFINE
      or (name in AFFINE_IN_FIRST and position == 0)
      or (name in ('select_n', 'dynamic_update_slice') and position > 0)
    )
    if not affine:
      self._stop({value}, name, 'it is changed by a non-linear operation')
    if name in ISOMETRIC:
      both_real = jnp.issubdtype(
        equation.outvars[0].aval.dtype, jnp.floating
      ) and jnp.issubdtype(equation.invars[0].aval.dtype, jnp.floating)
      return dataclasses.replace(
        linear, isometric=linear.isometric and both_real
      )
    if name == 'broadcast_in_dim':
      same_size = (
        equation.outvars[0].aval.size == equation.invars[position].aval.size
      )
      return dataclasses.replace(
        linear, isometric=linear.isometric and same_size
      )
    if name in ('mul', 'div'):
      other = 1 - position
      if equation.invars[other].aval.size == 1:
        factor = (operands[other], name == 'div')
        return dataclasses.replace(linear, factors=(*linear.factors, factor))
    return dataclasses.replace(linear, isometric=False)

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

  def _stop(self, leaves, operation, reason):
    leaf = min(self.kinds[value].leaf for value in leaves)
    raise ObstacleError(Obstacle(leaf, operation, reason))


def _live_equations(jaxpr):
  """Equations that the jaxpr's results need; what is unused has no gradient."""
  needed = {v for v in jaxpr.outvars if not isinstance(v, core.Literal)}
  live = []
  for equation in reversed(jaxpr.eqns):
    if equation.effects or not needed.isdisjoint(equation.outvars):
      live.append(equation)
      needed.update(
        v for v in equation.invars if not isinstance(v, core.Literal)
      )
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


def _has_zero_derivative(equation):
  """Whether no gradient flows through: stop_gradient, integer results."""
  return equation.primitive.name == 'stop_gradient' or not any(
    jnp.issubdtype(v.aval.dtype, jnp.inexact) for v in equation.outvars
  )


def _evaluated_step(jaxpr, equation, operands):
  """A step that evaluates the equation as JAX would, whatever it is."""
  inputs = {}
  for atom, value in zip(equation.invars, operands):
    if not isinstance(atom, core.Literal):
      inputs.setdefault(atom, value)
  single = jaxpr.replace(
    constvars=[],
    invars=list(inputs),
    outvars=list(equation.outvars),
    eqns=[equation],
    effects=equation.effects,
  )
  evaluate = core.jaxpr_as_fun(core.ClosedJaxpr(single, []))
  return Step(equation, tuple(inputs.values()), (), evaluate)
