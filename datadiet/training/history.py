"""The history of a run: history.csv, event files for TensorBoard, log lines.

history.csv holds nothing that depends on the clock, so that a resumed run
writes the same file as an uninterrupted one.
"""

import csv
import io
import tempfile
from typing import Any

from absl import logging
from etils import epath

from datadiet.workdir import artifacts, storage
from datadiet.workdir.tables import HISTORY, HISTORY_COLUMNS

_said_no_writers = False


class History:
  """Rows of one run, kept in memory and written whole.

  Attributes:
    rows: the table, as text.
    latest: the last figure of each column, with the digits that are written:
      the same whether the run was resumed since or not.
  """

  def __init__(self, run_folder: epath.Path, first_step: int):
    """Takes up the rows up to `first_step` that an earlier attempt wrote."""
    self._path = run_folder / HISTORY
    self._folder = run_folder
    self._events = None
    self._scratch: tempfile.TemporaryDirectory | None = None
    self.rows: list[dict[str, str]] = []
    if first_step and self._path.exists():
      self.rows = [
        row
        for row in read_history(run_folder)
        if int(row['step']) <= first_step
      ]
    self.latest: dict[str, float] = {}
    for row in self.rows:
      self._note_latest(row)

  def add(self, row: dict[str, Any]) -> None:
    """Adds a row; columns it lacks stay empty, and a row that is there stays.

    Of the runs of a wave that goes on, some may have written the row already.
    """
    if self.rows and int(self.rows[-1]['step']) >= row['step']:
      return
    self.rows.append(
      {
        key: _text(row[key])
        for key in HISTORY_COLUMNS
        if row.get(key) is not None
      }
    )
    self._note_latest(self.rows[-1])
    if self._events is not None:
      scalars = {
        k: v
        for k, v in row.items()
        if k in HISTORY_COLUMNS[1:] and v is not None
      }
      self._events.write_scalars(int(row['step']), scalars)

  def _note_latest(self, row: dict[str, str]) -> None:
    self.latest |= {key: float(text) for key, text in row.items() if text}

  def open_events(self) -> None:
    """Starts writing event files too, where TensorFlow is installed.

    Called after the first step, since the import takes seconds.
    """
    if self._events is None:
      folder = self._folder
      if storage.is_remote(folder):
        # They grow, which objects cannot: what is there is uploaded anew.
        self._scratch = tempfile.TemporaryDirectory()
        folder = epath.Path(self._scratch.name)
      self._events = _event_writer(folder)

  def write(self) -> None:
    """Writes history.csv."""
    artifacts.write_csv(
      self._path,
      HISTORY_COLUMNS,
      [[row.get(key, '') for key in HISTORY_COLUMNS] for row in self.rows],
    )
    if self._events is not None:
      self._events.flush()
      self._upload_events()

  def close(self) -> None:
    """Writes everything and closes the event file."""
    self.write()
    if self._events is not None:
      self._events.close()
      self._upload_events()
      self._events = None
    if self._scratch is not None:
      self._scratch.cleanup()
      self._scratch = None

  def _upload_events(self) -> None:
    if self._scratch is not None:
      for path in epath.Path(self._scratch.name).iterdir():
        storage.upload(path, self._folder / path.name)


def _text(value: Any) -> str:
  # nine digits give a float32 back exactly.
  return str(value) if isinstance(value, int) else format(float(value), '.9g')


def _event_writer(folder: epath.Path):
  try:
    from clu.metric_writers import AsyncWriter, SummaryWriter
  except ImportError as error:
    global _said_no_writers
    if not _said_no_writers:
      _said_no_writers = True
      logging.info('No event files for TensorBoard, only CSV: %s', error)
    return None
  return AsyncWriter(SummaryWriter(str(folder)))


def read_history(run_folder: epath.PathLike) -> list[dict[str, str]]:
  """The rows of a run's history.csv."""
  content = storage.read_bytes(epath.Path(run_folder) / HISTORY)
  return list(csv.DictReader(io.StringIO(content.decode())))
