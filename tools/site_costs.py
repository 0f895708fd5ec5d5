"""Makes the table by which TPUs choose forms of gradient norms.

    JAX_PLATFORMS=cpu TPU_SKIP_MDS_QUERY=1 .venv-tpu/bin/python -m \
      tools.site_costs

Compiles every form at every use site of some networks for one chip, one program
each, and writes the compiler's estimated cycles to
datadiet/gradient_norms/tpu_costs.json. Needs what `make test-accelerators`
installs, and no TPU. Sites that the table has are left alone; after a change of
a form, --forms makes what it costs there again. Delete the table to make all of
it again, as for another version of the compiler.
"""

import argparse
import dataclasses
import json
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from datadiet.forecast.compiled import read
from datadiet.forecast.machines import open_machine
from datadiet.gradient_norms import cost, walk
from datadiet.gradient_norms.convolution import ConvGeometry, conv_squared_norm
from datadiet.gradient_norms.flat import is_flat
from datadiet.models import make_model
from datadiet.scoring.precision import PRECISIONS, usual_precision

MACHINE = 'v5e:2x4'
NETWORKS = ('resnet18_lowres', 'resnet50_lowres', 'simple_cnn')
# Images of a chunk and chip.
NUM_IMAGES = 128
# Products of positions with positions are left out where they take more.
_MOST_POSITIONS = 300


def equations_of(network: str) -> Iterator[Any]:
  """The convolutions of a network for images of 32x32x3."""
  model = make_model(network, num_classes=10)
  images = jnp.zeros((1, 32, 32, 3))
  variables = jax.eval_shape(model.init, jax.random.key(0), images)

  def loss(params, others, images):
    return model.apply({**others, 'params': params}, images).sum()

  others = {name: value for name, value in variables.items()}
  params = others.pop('params')
  flat, tree = jax.tree.flatten(params)

  def flat_loss(*values):
    *leaves, others, images = values
    return loss(jax.tree.unflatten(tree, leaves), others, images)

  products = PRECISIONS[usual_precision('tpu')].products
  with jax.default_matmul_precision(products):
    traced = jax.make_jaxpr(flat_loss)(*flat, others, images)
  num_others = len(traced.jaxpr.invars) - len(flat)
  followed = [True] * len(flat)
  plan = walk.make_plan(traced, followed, 'cpu')
  assert num_others and plan.obstacle is None
  for uses in plan.uses.values():
    equation = uses[0].step.equation
    if equation.primitive.name == 'conv_general_dilated':
      yield equation


def cycles_of(
  equation: Any, geometry: ConvGeometry, form: str, device: Any
) -> float | None:
  """Estimated cycles of one form for all images; None without an estimate."""
  sharding = NamedSharding(Mesh(np.array([device]), ('x',)), PartitionSpec())
  data, cotangent = (
    jax.ShapeDtypeStruct(
      (NUM_IMAGES, *aval.shape), jnp.float32, sharding=sharding
    )
    for aval in (equation.invars[0].aval, equation.outvars[0].aval)
  )

  def norm(data, cotangent):
    return conv_squared_norm(data, cotangent, geometry, form)

  compiled = read(jax.jit(jax.vmap(norm)).lower(data, cotangent).compile())
  return None if compiled.num_unknown else compiled.cycles


def costs_at(
  equation: Any, device: Any, asked: Sequence[str] = ()
) -> dict[str, float]:
  """Form -> estimated cycles, of the forms that apply, or those asked for."""
  geometry = ConvGeometry.of(equation)
  forms = [
    form
    for form in cost.form_costs(geometry.site_shape)
    if form == 'direct' or geometry.site_shape.num_positions < _MOST_POSITIONS
  ]
  if is_flat(geometry):
    forms.append('flat')
  if asked:
    forms = [form for form in forms if form in asked]
  found = {form: cycles_of(equation, geometry, form, device) for form in forms}
  return {form: cycles for form, cycles in found.items() if cycles}


def main() -> None:
  """Adds the sites that the table lacks, one after the other."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--networks', nargs='+', default=NETWORKS)
  parser.add_argument('--forms', nargs='+', default=())
  parser.add_argument('--output', type=Path, default=cost.TABLES['tpu'])
  options = parser.parse_args()
  device = open_machine(MACHINE).devices[0]
  table = {
    'estimates': f'cycles of {NUM_IMAGES} images on a chip of {MACHINE}',
    'compiler': f'libtpu {metadata.version("libtpu")}',
    'precision': usual_precision('tpu'),
    'sites': [],
  }
  if options.output.exists():
    table = json.loads(options.output.read_text())
  for network in options.networks:
    equations = {
      ConvGeometry.of(equation).site_shape: equation
      for equation in equations_of(network)
    }
    for shape, equation in equations.items():
      site = dataclasses.asdict(shape)
      known = [row for row in table['sites'] if row['site'] == site]
      if known and not options.forms:
        continue
      cycles = costs_at(equation, device, options.forms)
      print(network, site, cycles, flush=True)
      if known:
        known[0]['cycles'].update(cycles)
      else:
        table['sites'].append({'site': site, 'cycles': cycles})
      options.output.write_text(_text(table))


def _text(table: dict[str, Any]) -> str:
  """As JSON, a site a line."""
  head = {name: value for name, value in table.items() if name != 'sites'}
  rows = ',\n    '.join(json.dumps(row) for row in table['sites'])
  text = json.dumps(head, indent=2)[:-2]
  return f'{text},\n  "sites": [\n    {rows}\n  ]\n}}\n'


if __name__ == '__main__':
  main()
