"""The cost model that picks how a use site's squared gradient norm is computed.

A use site is y = op(x, w) with `num_groups` independent products, in each of
which T = `num_positions` output positions see K = `patch_size` inputs and give
O = `num_outputs` outputs (T = 1 for a dense layer on a vector). With the
patches P [T, K] and the output's cotangent D [T, O] the gradient is P^T D, and
its squared Frobenius norm is any of

  direct        ||P^T D||^2                      T K O           products
  gram          <P P^T, D D^T>                   T^2 (K + O)     products
  shifted_gram  the same, with P P^T summed from S^2 C + T^2 O   products
                windows of the Gram of the padded   and sums
                input's S positions, K = k C

Forming P of a convolution costs a copy of T K numbers; the matrices of the
gram forms are written and read again, T^2 or S^2 numbers each. Rows taken from
a table by index have forms of their own.

On TPUs, where moving numbers into another layout costs more than most products,
the form is that of the nearest site in a table made by their compiler
(tpu_costs.json, by `tools/site_costs.py`), with one form more, see `flat`.
"""

import dataclasses
import functools
import json
import math
from pathlib import Path

# Platform -> its table.
TABLES = {'tpu': Path(__file__).with_name('tpu_costs.json')}
# The cost of moving one number through memory, in multiply-adds of a matrix
# product. Chosen on CPU so that the fastest form is picked for the convolutions
# of ResNet-18 and -50; at most of them the forms are far apart.
MOVE_COST = 16.0


@dataclasses.dataclass(frozen=True)
class SiteShape:
  """The sizes that decide the cost of a use site, for one example.

  Attributes:
    num_groups: independent products (feature groups, dot batch dimensions).
    num_positions: T, output positions in a group.
    patch_size: K, inputs seen by one position.
    num_outputs: O, outputs at one position.
    num_taps: k, positions of the kernel; 1 for matrix products.
    num_padded_positions: S, positions of the padded input where the windows
      of a shifted Gram can be cut from; 0 where that form does not apply.
  """

  num_groups: int
  num_positions: int
  patch_size: int
  num_outputs: int
  num_taps: int = 1
  num_padded_positions: int = 0


def form_costs(shape: SiteShape) -> dict[str, float]:
  """The cost of every form that applies, in multiply-adds per example."""
  positions, patch, outputs = (
    shape.num_positions,
    shape.patch_size,
    shape.num_outputs,
  )
  copy_patches = positions * patch if shape.num_taps > 1 else 0
  costs = {
    'direct': positions * patch * outputs
    + MOVE_COST * (copy_patches + patch * outputs),
    'gram': positions**2 * (patch + outputs)
    + MOVE_COST * (copy_patches + 2 * positions**2),
  }
  if shape.num_padded_positions and shape.num_taps > 1:
    padded = shape.num_padded_positions
    channels = patch // shape.num_taps
    costs['shifted_gram'] = (
      padded**2 * channels
      + positions**2 * outputs
      + MOVE_COST * (padded**2 + (shape.num_taps + 1) * positions**2)
    )
  return {form: shape.num_groups * cost for form, cost in costs.items()}


def cheapest_form(
  shape: SiteShape, platform: str = 'cpu', has_flat: bool = False
) -> str:
  """The name of the form that costs least at a site of this shape.

  Args:
    shape: of the site.
    platform: what it is to run on, 'cpu', 'gpu' or 'tpu'.
    has_flat: whether the form 'flat' applies; only a table can choose it.
  """
  costs = form_costs(shape)
  if platform in TABLES and shape.num_positions > 1:
    costs = _nearest_costs(shape, TABLES[platform], has_flat) or costs
  return min(costs, key=lambda form: costs[form])


def _nearest_costs(
  shape: SiteShape, path: Path, has_flat: bool
) -> dict[str, float]:
  """The costs of the most similar site of a table to which as much applies."""

  def distance(known: SiteShape) -> float:
    sizes = ('num_groups', 'num_positions', 'patch_size', 'num_outputs')
    return sum(
      abs(
        math.log2(max(1, getattr(known, size)) / max(1, getattr(shape, size)))
      )
      for size in sizes
    )

  alike = [
    (distance(known), costs)
    for known, costs in _table(path)
    if (known.num_taps > 1) == (shape.num_taps > 1)
    and ('flat' in costs) == has_flat
  ]
  return min(alike, key=lambda found: found[0])[1] if alike else {}


@functools.cache
def _table(path: Path) -> list[tuple[SiteShape, dict[str, float]]]:
  """The sites of a table: (shape, form -> cycles)."""
  content = json.loads(path.read_text())
  return [(SiteShape(**row['site']), row['cycles']) for row in content['sites']]


def gathers_by_index(num_positions: int, num_rows: int, row_size: int) -> bool:
  """Whether pairs of positions cost less than the table's whole gradient."""
  by_index = num_positions**2 * (row_size + MOVE_COST)
  whole_table = MOVE_COST * row_size * (num_rows + num_positions)
  return by_index <= whole_table
