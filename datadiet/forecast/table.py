"""Compiles the programs of an experiment for a machine, and tabulates them."""

import dataclasses
import time
from collections.abc import Iterable

import ml_collections
from absl import logging

from datadiet import config as config_lib
from datadiet.forecast.compiled import Compiled, read
from datadiet.forecast.flags import Request
from datadiet.forecast.machines import Machine, open_machine
from datadiet.forecast.programs import Program, programs, shape_of
from datadiet.stages.opening import choose_dtypes

_HEADER = (
  '| program | fits | MiB a chip | of it arguments, temporaries | '
  'between chips, MB a step | M cycles a step | images/s | whole run |\n'
  '| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |'
)


@dataclasses.dataclass(frozen=True)
class Row:
  """One program on the machine.

  Attributes:
    program: what was compiled.
    compiled: what the compiler says; None if it refused.
    refusal: why it did, in its words.
    seconds: of all calls by its estimate; None without one.
  """

  program: Program
  compiled: Compiled | None
  refusal: str = ''
  seconds: float | None = None


def forecast(config: ml_collections.ConfigDict, asked: Request) -> str:
  """What an experiment would take on a machine, as a table in Markdown.

  Touches no workdir and reads no data; takes minutes, as the compiler does.

  Args:
    config: the experiment, not yet checked.
    asked: for which machine and data.

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
  rows = [
    _row(program, machine)
    for program in programs(resolved, shape, machine.devices)
  ]
  return _text(rows, machine, asked.price or machine.chip.price)


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
  if compiled.total > machine.chip.memory:
    size = compiled.total / 2**20
    return Row(program, compiled, f'needs {size:,.0f} MiB')
  seconds = None
  if compiled.cycles is not None:
    seconds = program.calls * compiled.cycles / machine.chip.hertz
  return Row(program, compiled, seconds=seconds)


def _text(rows: Iterable[Row], machine: Machine, price: float) -> str:
  rows = list(rows)
  lines = [
    f'{machine.name}: {len(machine.devices)} devices of {machine.chip.name}, '
    f'{machine.chip.memory / 2**30:.0f} GiB each. Estimates of the compiler at '
    f'{machine.chip.hertz / 1e9:.2f} GHz, not measurements.',
    '',
    _HEADER,
    *(_line(row, machine) for row in rows),
    '',
  ]
  refused = [row for row in rows if row.refusal]
  lines += [
    f'Does not fit: {row.program.name}: {row.refusal}' for row in refused
  ]
  known = [row.seconds for row in rows if row.seconds is not None]
  if len(known) == len(rows):
    hours = sum(known) / 3600
    cost = hours * len(machine.devices) * price
    lines.append(
      f'Training and scoring: {60 * hours:,.1f} minutes, ${cost:,.2f} at '
      f'${price:.2f} a chip and hour; without input, checkpoints, compiling.'
    )
  return '\n'.join(lines)


def _line(row: Row, machine: Machine) -> str:
  compiled = row.compiled
  if compiled is None:
    return f'| {row.program.name} | no | | | | | | |'
  trips = row.program.trips
  sent = sum(size for _, size in compiled.collectives.values())
  kinds = ', '.join(
    f'{number / trips:.3g} {kind}'
    for kind, (number, _) in compiled.collectives.items()
  )
  cycles = rate = ''
  if compiled.cycles is not None:
    cycles = f'{compiled.cycles / trips / 1e6:.2f}'
    if compiled.num_unknown:
      cycles += f' and {compiled.num_unknown} instructions without'
    a_second = machine.chip.hertz / max(compiled.cycles, 1)
    rate = f'{row.program.images * a_second:,.0f}'
  whole = '' if row.seconds is None else f'{row.seconds:,.0f} s'
  return (
    f'| {row.program.name} | {"no" if row.refusal else "yes"} | '
    f'{compiled.total / 2**20:,.0f} | {compiled.arguments / 2**20:,.0f}, '
    f'{compiled.temporaries / 2**20:,.0f} | {sent / trips / 1e6:.2f}'
    f'{f" ({kinds})" if kinds else ""} | {cycles} | {rate} | {whole} |'
  )
