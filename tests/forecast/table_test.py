"""Tests of the table of what programs would take."""

import dataclasses
import functools
import types

import jax
import pytest

from datadiet.forecast import table
from datadiet.forecast.compiled import Compiled
from datadiet.forecast.flags import Request
from datadiet.forecast.machines import Chip, Machine
from datadiet.forecast.programs import Program
from datadiet.runtime.mesh import make_run_mesh
from tests import running

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
  assert not any(word in text for word in ('minutes,', '$', 'images', 'GHz'))
  assert 'Minutes and dollars are missing' in text
  assert text.endswith('Steps one after the other: 1,000 of train.')


@pytest.mark.parametrize('machine', [_TPU, _GPU])
def test_lines_have_the_columns_of_the_header(machine):
  rows = [_row(), _row(cycles=None), table.Row(_row().program, None, 'too big')]
  text = table._text(rows, machine, 1.0)
  lines = [line for line in text.splitlines() if line.startswith('|')]
  assert len(lines) == 5 and len({line.count('|') for line in lines}) == 1
  assert 'Does not fit: train: too big' in text


def test_chunks_that_do_not_fit_are_halved(monkeypatch):
  # Of what a chunk takes, and the 256 MiB of arguments leave 768.
  monkeypatch.setattr(table, 'read', lambda size, trips: _of_size(size))
  monkeypatch.setattr(table, 'programs', lambda *_: [_chunks_of(8)])
  monkeypatch.setattr(table, 'open_machine', lambda name: _TPU)
  asked = Request('v5e:2x4', (), 0)
  text, fits = table.forecast(running.tiny_config(), asked, ['score'])
  rows = [line for line in text.splitlines() if line.startswith('| grand')]
  sizes = [row.split(' | ')[:2] for row in rows]
  assert sizes == [
    ['| grand 8', 'no'],
    ['| grand 4', 'no'],
    ['| grand 2', 'yes'],
  ]
  assert 'Half as many are taken: grand 8: RESOURCE_EXHAUSTED' in text
  assert 'grand 4: its temporaries of 600 MiB are more than 50% of' in text
  assert fits and 'In all: 1.0 minutes, $0.40 at $3.00 a chip and' in text


def test_what_has_nothing_smaller_does_not_fit(monkeypatch):
  program = dataclasses.replace(_chunks_of(4), smaller=None)
  monkeypatch.setattr(table, 'read', lambda size, trips: _of_size(2 * size))
  monkeypatch.setattr(table, 'programs', lambda *_: [program])
  monkeypatch.setattr(table, 'open_machine', lambda name: _TPU)
  asked = Request('v5e:2x4', (), 0)
  text, fits = table.forecast(running.tiny_config(), asked, ['score'])
  assert (
    not fits and 'Does not fit: grand 4: RESOURCE_EXHAUSTED: of HBM' in text
  )


def _chunks_of(size):
  lowered = types.SimpleNamespace(compile=lambda: size)
  mesh = make_run_mesh(2, 64, devices=jax.devices()[:8])
  smaller = functools.partial(_chunks_of, size // 2)
  return Program(f'grand {size}', lambda: lowered, 1, 6000, size, mesh, smaller)


def _of_size(size):
  if size >= 8:
    raise RuntimeError('RESOURCE_EXHAUSTED: of HBM')
  return dataclasses.replace(_COMPILED, temporaries=size * 150 * 2**20)


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
