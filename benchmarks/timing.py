"""Timing of functions in turns, and the table of what was measured."""

import dataclasses
import functools
import json
import os
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Mapping, Sequence

import numpy as np

# Share of the time there is after which nothing more is begun.
_LAST_START = 0.6


@dataclasses.dataclass(frozen=True)
class Row:
  """One measured quantity.

  Attributes:
    part: the part of the benchmark it belongs to.
    name: what was measured.
    unit: of the values, such as 'images/s'.
    values: one a repeat.
    against: the name of the row that `ratios` divide by, '' for none.
    ratios: one a repeat: both sides saw the machine in the same state.
    target: of the ratio or value, for a reader.
    failed: why there are no values.
  """

  part: str
  name: str
  unit: str
  values: tuple[float, ...]
  against: str = ''
  ratios: tuple[float, ...] = ()
  target: str = ''
  failed: str = ''

  @property
  def median(self) -> float:
    return float(np.median(self.values))


def built_late(build: Callable[[], Callable[[], float]]) -> Callable[[], float]:
  """A contender that is built when it is first called, in the warm-up."""
  built = functools.cache(build)
  return lambda: built()()


def take_turns(
  contenders: Mapping[str, Callable[[], float]],
  repeats: int,
  seconds: float = float('inf'),
) -> dict[str, np.ndarray | str]:
  """Runs all contenders `repeats` times in turns, after a round that warms up.

  One that fails, such as for lack of memory or of a library, costs no other: it
  takes no more turns. Every figure is told as it comes, so that what is cut off
  leaves those it has.

  Args:
    contenders: functions that measure themselves once and return the figure;
      those that matter most first.
    repeats: rounds that count; the order turns round from one to the next.
    seconds: that there are; with little left no further contender is warmed up
      and no further round begun.

  Returns:
    float64[rounds] for each; of one that failed, the reason.
  """
  names, measured = list(contenders), {name: [] for name in contenders}
  failed: dict[str, str] = {}
  start = time.monotonic()
  for number in range(repeats + 1):
    is_late = time.monotonic() - start > _LAST_START * seconds
    if is_late and number > 1:
      break
    for name in names[::-1] if number % 2 else names:
      if not number and time.monotonic() - start > _LAST_START * seconds:
        failed[name] = 'no time was left'
      if name in failed:
        continue
      try:
        figure = contenders[name]()
      except Exception as error:  # Of any library that is measured.
        traceback.print_exc()
        failed[name] = _reason(error)
        continue
      kind = f'round {number}' if number else 'warm-up'
      told = f'{name}: {figure:.4g} ({kind}, {time.monotonic() - start:.0f} s)'
      print(told, file=sys.stderr, flush=True)
      if number:
        measured[name].append(figure)
  return {
    name: failed.get(name) or np.array(figures)
    for name, figures in measured.items()
  }


def load() -> str:
  """How much else went on, in the minute before the benchmark."""
  load = os.getloadavg()[0]
  is_high = load > 0.5 * os.cpu_count()
  return f'load average at the start {load:.1f}{" (BUSY)" if is_high else ""}'


def _reason(error: Exception) -> str:
  """The first line of what is wrong, for a cell of a table."""
  lines = str(error).strip().splitlines() or ['']
  text = f'{type(error).__name__}: {lines[0]}'.replace('|', '/')
  return textwrap.shorten(text, 120, placeholder=' ...')


def rows_of(
  part: str,
  measured: Mapping[str, np.ndarray | str],
  unit: str,
  against: Mapping[str, str] | None = None,
  target: Mapping[str, str] | None = None,
) -> list[Row]:
  """Rows of figures taken in turns; `against` names what each divides by."""
  against, target = against or {}, target or {}
  rows = []
  for name, figures in measured.items():
    if isinstance(figures, str):
      rows.append(Row(part, name, unit, (), failed=figures))
      continue
    other = against.get(name, '')
    if isinstance(measured.get(other, ''), str):  # Left out, or it failed.
      other = ''
    ratios = tuple(figures / measured[other]) if other else ()
    rows.append(
      Row(part, name, unit, tuple(figures), other, ratios, target.get(name, ''))
    )
  return rows


def markdown(rows: Sequence[Row]) -> str:
  """All rows as one table."""
  lines = [
    '| part | measured | median | from, to | ratio | against | target |',
    '| --- | --- | ---: | ---: | ---: | --- | ---: |',
  ]
  for row in rows:
    if row.failed:
      lines.append(
        f'| {row.part} | {row.name} | failed: {row.failed} | | | | |'
      )
      continue
    spread = ''
    if len(row.values) > 1:
      spread = f'{_short(min(row.values))} to {_short(max(row.values))}'
    ratio = ''
    if row.ratios:
      ratio = f'{np.median(row.ratios):.2f}'
    if len(row.ratios) > 1:
      ratio += f' ({min(row.ratios):.2f} to {max(row.ratios):.2f})'
    lines.append(
      f'| {row.part} | {row.name} | {_short(row.median)} {row.unit} | {spread} '
      f'| {ratio} | {row.against} | {row.target} |'
    )
  return '\n'.join(lines) + '\n'


def as_json(rows: Sequence[Row], **about) -> str:
  """The same for a program, with what else is to be known of the run."""
  return json.dumps(
    {**about, 'rows': [dataclasses.asdict(row) for row in rows]}, indent=1
  )


def _short(value: float) -> str:
  """Three digits, without an exponent."""
  if value and abs(value) < 0.001:
    return f'{value:.6f}'
  digits = max(0, 2 - int(np.floor(np.log10(abs(value))))) if value else 0
  return f'{value:,.{digits}f}'
