"""Files of decisions on examples: reading, checking and writing them."""

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence

import numpy as np
from etils import epath

from datadiet.data.checks import plain_name
from datadiet.errors import DataDietError
from datadiet.results import Results
from datadiet.results.reading import review_fingerprint
from datadiet.settings import closest
from datadiet.workdir import artifacts, texts
from datadiet.workdir.tables import DECISIONS_COLUMNS, FINGERPRINT

KEEP, RELABEL, DROP, UNSURE = 'keep', 'relabel', 'drop', 'unsure'
KINDS = (KEEP, RELABEL, DROP, UNSURE)
# What spreadsheets of some countries write instead of commas.
_OTHER_SEPARATORS = {';': 'semicolons', '\t': 'tabs'}


@dataclasses.dataclass(frozen=True)
class Decision:
  """What a person decided about one example.

  Attributes:
    kind: one of `KINDS`.
    label: the right class with `RELABEL`; -1 otherwise.
  """

  kind: str
  label: int = -1


# example_index -> decision.
Decisions = dict[int, Decision]


@dataclasses.dataclass(frozen=True)
class Reviewed:
  """The train examples that decisions are about.

  Attributes:
    ids: one an example.
    labels: int32[N], those that were reviewed.
    class_names: in label order.
    fingerprint: of the data and of these labels, see `review_fingerprint`.
  """

  ids: Sequence[str]
  labels: np.ndarray
  class_names: Sequence[str]
  fingerprint: str

  @classmethod
  def of(cls, results: Results) -> 'Reviewed':
    """The examples of a workdir.

    Raises:
      DataDietError: if nothing was scored in it, so that it has no table of
        its examples.
    """
    if not results.steps:
      raise DataDietError(
        f'{results.workdir.root} has no scores, and so no table of its '
        'examples; run the stages train and score first'
      )
    scores = results.scores
    return cls(
      scores['id'].tolist(),
      scores['label'].to_numpy(np.int32),
      results.class_names,
      review_fingerprint(results.dataset),
    )

  def decision(self, example_index: int, kind: str, name: str) -> Decision:
    """A decision, checked.

    Args:
      example_index: of the example.
      kind: one of `KINDS`.
      name: of the right class with `RELABEL`; '' otherwise.

    Raises:
      DataDietError: what of it is not allowed, as the end of a sentence.
    """
    last = len(self.ids) - 1
    if not 0 <= example_index <= last:
      raise DataDietError(
        f'the example_index {example_index} is not allowed; allowed: 0 to '
        f'{last}'
      )
    if kind not in KINDS:
      raise DataDietError(
        f'the decision {kind!r} is not allowed; allowed: {", ".join(KINDS)}'
      )
    if kind != RELABEL:
      if name:
        raise DataDietError(
          f'the label {name!r} is not allowed with the decision {kind!r}; '
          'allowed: an empty cell'
        )
      return Decision(kind)
    label = self._label(name)
    # A label that stays is one that was found right.
    same = label == self.labels[example_index]
    return Decision(KEEP) if same else Decision(RELABEL, label)

  def _label(self, name: str) -> int:
    for label, class_name in enumerate(self.class_names):
      if plain_name(class_name) == plain_name(name):
        return label
    known = ', '.join(self.class_names[:20])
    more = ', ...' if len(self.class_names) > 20 else ''
    raise DataDietError(
      f'the label {name!r} is no class; allowed: {known}{more}'
      f'{closest(name, self.class_names)}'
    )


def read_decisions(path: epath.PathLike, reviewed: Reviewed) -> Decisions:
  """Reads and checks a file of decisions.

  Args:
    path: a CSV file of the columns `DECISIONS_COLUMNS`, in any order; that of
      the fingerprint may be left out.
    reviewed: the examples they must be about.

  Raises:
    DataDietError: in one sentence, the file, the line, what is wrong there and
      what is allowed.
  """
  where = epath.Path(path).expanduser()
  found: Decisions = {}
  lines: dict[int, int] = {}
  for number, row in _rows(where, artifacts.read_bytes(where)):
    try:
      index = _example_index(row, reviewed)
      if index in found:
        raise DataDietError(
          f'example {index} was decided in line {lines[index]} already; '
          'leave one of both'
        )
      kind = row['decision'].strip().lower()
      found[index] = reviewed.decision(index, kind, row['label'].strip())
      lines[index] = number
    except DataDietError as error:
      raise DataDietError(f'{where}, line {number}: {error}') from error
  return found


def _rows(where: epath.Path, content: bytes) -> list[tuple[int, dict]]:
  """(number of the line, its cells by column) of all rows but the first."""
  required = set(DECISIONS_COLUMNS) - {FINGERPRINT}
  rows = []
  try:
    text = texts.decoded(content, where, 'a CSV file')
    _check_separator(where, text)
    reader = csv.reader(io.StringIO(text, newline=''), strict=True)
    header = [name.strip() for name in next(reader, [])]
    if not required <= set(header) or sorted(header) != sorted(
      set(header) & set(DECISIONS_COLUMNS)
    ):
      raise DataDietError(
        f'{where}, line 1: the columns {", ".join(header) or "(none)"} are not '
        f'allowed; allowed: {",".join(DECISIONS_COLUMNS)}, each once, where '
        f'{FINGERPRINT} may be missing'
      )
    for cells in reader:
      if not any(cell.strip() for cell in cells):
        continue
      if len(cells) != len(header):
        raise DataDietError(
          f'{where}, line {reader.line_num}: there are {len(cells)} cells for '
          f'{len(header)} columns; quote cells with commas in them'
        )
      row = dict(zip(header, cells, strict=True))
      rows.append((reader.line_num, row))
  except csv.Error as error:
    raise DataDietError(f'{where} is not a CSV file ({error})') from error
  return rows


def _check_separator(where: epath.Path, text: str) -> None:
  first = text.partition('\n')[0]
  for separator, name in _OTHER_SEPARATORS.items():
    if separator in first and ',' not in first:
      raise DataDietError(
        f'{where}, line 1: the columns are separated by {name}; allowed: '
        'commas, which spreadsheets offer when they save as CSV'
      )


def _example_index(row: Mapping[str, str], reviewed: Reviewed) -> int:
  """The example that a row is about.

  Raises:
    DataDietError: if there is no such example, or it is of other data.
  """
  expected = reviewed.fingerprint
  if row.get(FINGERPRINT, '') not in ('', expected):
    raise DataDietError(
      f'the decision is on other data or labels, of the fingerprint '
      f'{row[FINGERPRINT]}; that of the workdir is {expected}'
    )
  text, last = row['example_index'].strip(), len(reviewed.ids) - 1
  # Python reads no number of thousands of digits: those too long are not read.
  digits = text.lstrip('0') or text[-1:]
  is_number = digits.isascii() and digits.isdigit()
  if not is_number or len(digits) > len(str(last)) or int(digits) > last:
    shown = text if len(text) <= 40 else f'{text[:40]}...'
    raise DataDietError(
      f'the example_index {shown!r} is not allowed; allowed: 0 to {last}'
    )
  index = int(digits)
  if row['id'] != str(reviewed.ids[index]):
    raise DataDietError(
      f'example {index} has the id {str(reviewed.ids[index])!r}, not '
      f'{row["id"]!r}'
    )
  return index


def write_decisions(
  path: epath.PathLike, decisions: Decisions, reviewed: Reviewed
) -> None:
  """Writes a file of decisions, atomically, in the order of the examples.

  Raises:
    DataDietError: if it cannot be written.
  """
  rows = []
  for index, decision in sorted(decisions.items()):
    is_new = decision.kind == RELABEL
    name = reviewed.class_names[decision.label] if is_new else ''
    about = (index, reviewed.ids[index], decision.kind, name)
    rows.append((*about, reviewed.fingerprint))
  artifacts.write_csv(path, DECISIONS_COLUMNS, rows)
