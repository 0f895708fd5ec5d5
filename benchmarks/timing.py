"""Timing of functions in turns, and the table of what was measured."""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence

import numpy as np


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
    asked: what the project asks of the ratio or value, for a reader.
  """

  part: str
  name: str
  unit: str
  values: tuple[float, ...]
  against: str = ''
  ratios: tuple[float, ...] = ()
  asked: str = ''

  @property
  def median(self) -> float:
    return float(np.median(self.values))


def take_turns(
  contenders: Mapping[str, Callable[[], float]], repeats: int
) -> dict[str, np.ndarray]:
  """Runs all contenders `repeats` times in turns, after a round that warms up.

  Args:
    contenders: functions that measure themselves once and return the figure.
    repeats: rounds that count; the order turns round from one to the next.

  Returns:
    float64[repeats] for each.
  """
  names, measured = list(contenders), {name: [] for name in contenders}
  for number in range(repeats + 1):
    for name in names if number % 2 else names[::-1]:
      figure = contenders[name]()
      if number:
        measured[name].append(figure)
  return {name: np.array(figures) for name, figures in measured.items()}


def rows_of(
  part: str,
  measured: Mapping[str, np.ndarray],
  unit: str,
  against: Mapping[str, str] | None = None,
  asked: Mapping[str, str] | None = None,
) -> list[Row]:
  """Rows of figures taken in turns; `against` names what each divides by."""
  against, asked = against or {}, asked or {}
  rows = []
  for name, figures in measured.items():
    other = against.get(name, '')
    if other not in measured:  # Left out of this run.
      other = ''
    ratios = tuple(figures / measured[other]) if other else ()
    rows.append(
      Row(part, name, unit, tuple(figures), other, ratios, asked.get(name, ''))
    )
  return rows


def markdown(rows: Sequence[Row]) -> str:
  """All rows as one table."""
  lines = [
    '| part | measured | median | from, to | ratio | against | asked |',
    '| --- | --- | ---: | ---: | ---: | --- | ---: |',
  ]
  for row in rows:
    spread = ''
    if len(row.values) > 1:
      spread = f'{_short(min(row.values))} to {_short(max(row.values))}'
    ratio = f'{np.median(row.ratios):.2f}' if row.ratios else ''
    lines.append(
      f'| {row.part} | {row.name} | {_short(row.median)} {row.unit} | {spread} '
      f'| {ratio} | {row.against} | {row.asked} |'
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
