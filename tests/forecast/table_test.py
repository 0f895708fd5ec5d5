"""Tests of the table of what programs would take."""

import dataclasses

import jax
import pytest

from datadiet.forecast import table
from datadiet.forecast.compiled import Compiled
from datadiet.forecast.machines import Chip, Machine
from datadiet.forecast.programs import Program
from datadiet.runtime.mesh import make_run_mesh

_TPU = Machine('v5e:2x4', Chip('TPU', 2**30, 1e9, 3.0), [None] * 8)
_GPU = Machine('h100:8', Chip('GPU', 2**30, share=0.75), [None] * 8)
_COMPILED = Compiled(
  arguments=2**28,
  temporaries=2**28,
  total=2**29,
  collectives={'all-reduce': (20, 30_000_000)},
  cycles=1e7,
  num_unknown=0,
  largest_copy=0,
  groups={'all-reduce': frozenset({(0, 1, 2, 3), (4, 5, 6, 7)})},
  kernels=2500,
  has_counted_loop=True,
)


def _row(**changes):
  mesh = make_run_mesh(2, 64, devices=jax.devices()[:8])
  program = Program('train', lambda: None, 10, 100, 1280, mesh)
  return table.Row(
    program, dataclasses.replace(_COMPILED, **changes), seconds=3600.0
  )


def test_a_tpu_has_times_and_a_price():
  text = table._text([_row()], _TPU, 2.0)
  assert '3.00 (2 all-reduce over data) | 1.00 | 128,000 | 3,600 s |' in text
  assert '60.0 minutes, $16.00 at $2.00' in text


def test_a_gpu_has_kernels_and_no_invented_time():
  row = dataclasses.replace(_row(cycles=None), seconds=None)
  text = table._text([row], _GPU, 2.0)
  assert '| train | yes | 512 | 256, 256 | 3.00 (2 all-' in text
  assert text.splitlines()[4].endswith('| 250 | counted |')
  assert not any(word in text for word in ('minutes', '$', 'images', 'GHz'))


@pytest.mark.parametrize('machine', [_TPU, _GPU])
def test_lines_have_the_columns_of_the_header(machine):
  rows = [_row(), _row(cycles=None), table.Row(_row().program, None, 'too big')]
  text = table._text(rows, machine, 1.0)
  lines = [line for line in text.splitlines() if line.startswith('|')]
  assert len(lines) == 5 and len({line.count('|') for line in lines}) == 1
  assert 'Does not fit: train: too big' in text


@pytest.mark.parametrize(
  'groups, axis',
  [
    ({(0, 1, 2, 3), (4, 5, 6, 7)}, 'data'),
    ({(0, 4), (1, 5)}, 'run'),
    ({(0, 1), (3, 4)}, 'run and data'),
    ({()}, 'run and data'),  # Of all devices.
  ],
)
def test_the_axis_that_collectives_go_over(groups, axis):
  text = table._text([_row(groups={'all-reduce': frozenset(groups)})], _GPU, 0)
  assert f'(2 all-reduce over {axis}) |' in text
