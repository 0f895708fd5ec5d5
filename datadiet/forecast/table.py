"""Compiles the programs of an experiment for a machine, and tabulates them."""

import dataclasses
import re
import time
from collections.abc import Iterator, Sequence

import ml_collections
from absl import logging

from datadiet import config as config_lib
from datadiet.forecast.compiled import Compiled, Groups, read
from datadiet.forecast.flags import Request
from datadiet.forecast.machines import Chip, Machine, open_machine
from datadiet.forecast.programs import Program, programs, shape_of
from datadiet.runtime.mesh import DATA_AXIS, RUN_AXIS, RunMesh
from datadiet.stages import chunks
from datadiet.stages.opening import choose_dtypes

_HEADER = (
  '| program | fits | MiB a chip | of it arguments, temporaries | '
  'between chips, MB a step | '
)
_TIMES = (
  _HEADER + 'M cycles a step | images/s | whole run |\n'
  '| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |'
)
# Of compilers that estimate no times.
_KERNELS = (
  _HEADER + 'kernels a step | loop over steps |\n'
  '| --- | --- | ---: | ---: | ---: | ---: | --- |'
)
# Of a GPU: a graph of kernels can hold only a loop that is counted.
_LOOPS = {True: 'counted', False: 'not counted', None: ''}


@dataclasses.dataclass(frozen=True)
class Row:
  """One program on the machine.

  Attributes:
    program: what was compiled.
    compiled: what the compiler says; None if it refused.
    refusal: why it did, in its words.
    seconds: of all calls by its estimate; None without one.
    is_replaced: whether a smaller program is taken where this does not fit.
  """

  program: Program
  compiled: Compiled | None
  refusal: str = ''
  seconds: float | None = None
  is_replaced: bool = False


def forecast(
  config: ml_collections.ConfigDict, asked: Request, stages: Sequence[str]
) -> tuple[str, bool]:
  """What an experiment would take on a machine, as a table in Markdown.

  Touches no workdir and reads no data; takes minutes, as the compiler does.

  Args:
    config: the experiment, not yet checked.
    asked: for which machine and data.
    stages: those to ask about; only training and scoring have programs here.

  Returns:
    The table, and whether all fits.

  Raises:
    ConfigError: for a wrong setting, a machine that is none, or data of which
      nothing is known.
    DataDietError: if its compiler is not installed.
  """
  config_lib.check(config)
  machine = open_machine(asked.machine)
  shape = shape_of(config.dataset.name, asked.data_shape)
  per_epoch = max(1, shape.num_examples // config.train.batch_size)
  resolved = choose_dtypes(
    config_lib.resolve(config, per_epoch), None, machine.devices
  )
  memory = machine.chip.memory * machine.chip.share
  rows = [
    row
    for program in programs(resolved, shape, machine.devices, stages, memory)
    for row in _rows(program, machine)
  ]
  text = _text(rows, machine, asked.price or machine.chip.price or 0.0)
  return text, not any(row.refusal and not row.is_replaced for row in rows)


def _rows(program: Program, machine: Machine) -> Iterator[Row]:
  """A row of a program, and of smaller ones for as long as it does not fit."""
  while True:
    row = _row(program, machine)
    smaller = program.smaller() if row.refusal and program.smaller else None
    yield dataclasses.replace(row, is_replaced=smaller is not None)
    if smaller is None:
      return
    program = smaller


def _row(program: Program, machine: Machine) -> Row:
  start = time.monotonic()
  try:
    compiled = read(program.lower().compile(), program.trips)
  except Exception as error:  # jaxlib has no exception of its own for this.
    text = ' '.join(str(error).split())
    if 'RESOURCE_EXHAUSTED' not in text and 'memory' not in text:
      raise
    return Row(program, None, text[:300])
  logging.info('%s: compiled in %.0f s', program.name, time.monotonic() - start)
  limit = machine.chip.memory * machine.chip.share
  if compiled.total > limit:
    size = compiled.total / 2**20
    return Row(program, compiled, f'needs {size:,.0f} MiB')
  allowed = (limit - compiled.arguments) * chunks.MEMORY_SHARE
  if program.smaller and compiled.temporaries > allowed:
    size = compiled.temporaries / 2**20
    return Row(
      program,
      compiled,
      f'its temporaries of {size:,.0f} MiB are more than '
      f'{chunks.MEMORY_SHARE:.0%} of what arguments leave',
    )
  seconds = None
  if compiled.cycles is not None and machine.chip.hertz:
    seconds = program.calls * compiled.cycles / machine.chip.hertz
  return Row(program, compiled, seconds=seconds)


def _text(rows: Sequence[Row], machine: Machine, price: float) -> str:
  chip = machine.chip
  machine_line = (
    f'{machine.name}: {len(machine.devices)} devices of {chip.name}, '
    f'{chip.memory / 2**30:.0f} GiB each'
  )
  if chip.hertz:
    machine_line += (
      f'. Estimates of the compiler at {chip.hertz / 1e9:.2f} GHz, not '
      'measurements.'
    )
  else:
    machine_line += (
      f', of which JAX takes {chip.share:.0%}. What the compiler made of the '
      'programs; it estimates no times.'
    )
  header = _TIMES if chip.hertz else _KERNELS
  lines = [machine_line, '', header, *(_line(row, chip) for row in rows), '']
  for row in rows:
    if row.refusal:
      what = 'Half as many are taken' if row.is_replaced else 'Does not fit'
      lines.append(f'{what}: {row.program.name}: {row.refusal}')
  taken = [row for row in rows if not row.is_replaced]
  known = [row.seconds for row in taken if row.seconds is not None]
  if known and len(known) == len(taken):
    hours = sum(known) / 3600
    cost = hours * len(machine.devices) * price
    lines.append(
      f'In all: {60 * hours:,.1f} minutes, ${cost:,.2f} at ${price:.2f} a chip '
      'and hour; without input, checkpoints, compiling.'
    )
  elif not chip.hertz:
    lines.append(_what_is_missing(taken))
  return '\n'.join(lines)


def _what_is_missing(rows: Sequence[Row]) -> str:
  """What has to be measured where the compiler estimates no times."""
  steps = [
    f'{row.program.calls * row.program.trips:,} of '
    f'{re.split("[, ]", row.program.name.removeprefix("score "))[0]}'
    for row in rows
  ]
  return (
    'Minutes and dollars are missing: measure what a step takes by python -m '
    f'benchmarks.accelerator. Steps one after the other: {", ".join(steps)}.'
  )


def _line(row: Row, chip: Chip) -> str:
  compiled, trips = row.compiled, row.program.trips
  if compiled is None:
    return f'| {row.program.name} | no |' + (6 if chip.hertz else 5) * ' |'
  cells = [
    row.program.name,
    'no' if row.refusal else 'yes',
    f'{compiled.total / 2**20:,.0f}',
    f'{compiled.arguments / 2**20:,.0f}, {compiled.temporaries / 2**20:,.0f}',
    _sent(compiled, row.program),
  ]
  if not chip.hertz:
    cells.append(f'{compiled.kernels / trips:,.0f}')
    cells.append(_LOOPS[compiled.has_counted_loop if trips > 1 else None])
  elif compiled.cycles is None:
    cells += ['', '', '']
  else:
    cycles = f'{compiled.cycles / trips / 1e6:.2f}'
    if compiled.num_unknown:
      cycles += f' and {compiled.num_unknown} instructions without'
    a_second = chip.hertz / max(compiled.cycles, 1)
    whole = '' if row.seconds is None else f'{row.seconds:,.0f} s'
    cells += [cycles, f'{row.program.images * a_second:,.0f}', whole]
  return f'| {" | ".join(cells)} |'


def _sent(compiled: Compiled, program: Program) -> str:
  """What devices send in a step, by which collectives over which axis."""
  sent = sum(size for _, size in compiled.collectives.values())
  kinds = ', '.join(
    f'{number / program.trips:.3g} {kind} over '
    f'{_axis(compiled.groups[kind], program.run_mesh)}'
    for kind, (number, _) in compiled.collectives.items()
  )
  return f'{sent / program.trips / 1e6:.2f}' + (f' ({kinds})' if kinds else '')


def _axis(groups: Groups, run_mesh: RunMesh) -> str:
  """The axis of the mesh that groups of its devices lie along."""
  if () in groups:
    groups = frozenset([tuple(range(run_mesh.mesh.size))])
  per_slot = run_mesh.devices_per_slot
  if all(len({one // per_slot for one in group}) == 1 for group in groups):
    return DATA_AXIS
  if all(len({one % per_slot for one in group}) == 1 for group in groups):
    return RUN_AXIS
  return f'{RUN_AXIS} and {DATA_AXIS}'
