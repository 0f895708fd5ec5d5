"""The plan made by a walk over a traced loss: steps, use sites, obstacles."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from datadiet.gradient_norms import sites


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
    inputs: the distinct values read (literals stay inside the equation).
    avals: their abstract values.
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
  avals: tuple[Any, ...] = ()
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
