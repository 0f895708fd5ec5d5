"""The history of a run: history.csv, log lines, event files for TensorBoard.

All are writers by CLU's interface (`clu.metric_writers.MetricWriter`), of which
a run uses `write_scalars`, `write_hparams`, `flush` and `close`. CLU imports
TensorFlow, which takes seconds, so its own are opened after the first step.
history.csv holds nothing that depends on the clock: a resumed run writes the
same file as an uninterrupted one.
"""

import csv
import functools
import io
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from absl import logging
from etils import epath

from datadiet.runtime import extras
from datadiet.workdir import artifacts, atomic, storage
from datadiet.workdir.tables import (
  HISTORY,
  HISTORY_COLUMNS,
  extra_test_column,
)

_said_no_writers = False


class CsvWriter:
  """Writes history.csv: one row a step, written whole when flushed.

  Attributes:
    columns: of the table.
    rows: the table, as text.
    latest: the last value of each column, with the digits that are written: the
      same whether the run was resumed since or not.
  """

  def __init__(
    self,
    run_folder: epath.Path,
    first_step: int,
    extra_tests: Sequence[str] = (),
  ):
    """Reads the rows up to `first_step` that an earlier start wrote."""
    extra = map(extra_test_column, extra_tests)
    self.columns = (*HISTORY_COLUMNS, *extra)
    self._path = run_folder / HISTORY
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

  def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
    """Adds values to the row of a step; existing values are kept.

    Scalars without a column are left out, and so are older steps.
    """
    last = int(self.rows[-1]['step']) if self.rows else -1
    if step > last:
      self.rows.append({'step': str(step)})
    elif step < last:
      return
    row = self.rows[-1]
    for name in self.columns[1:]:
      if scalars.get(name) is not None and not row.get(name):
        row[name] = _text(scalars[name])
    self._note_latest(row)

  def _note_latest(self, row: dict[str, str]) -> None:
    self.latest |= {key: float(text) for key, text in row.items() if text}

  def write_hparams(self, hparams: Mapping[str, Any]) -> None:
    """Writes nothing: the settings are in the run's manifest."""

  def flush(self) -> None:
    """Writes history.csv."""
    artifacts.write_csv(
      self._path,
      self.columns,
      [[row.get(key, '') for key in self.columns] for row in self.rows],
    )

  def close(self) -> None:
    """Writes history.csv."""
    self.flush()


class LogWriter:
  """Writes log lines, which `--verbosity=1` shows."""

  def __init__(self, name: str):
    self._name = name

  def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
    """Writes a line such as 'train/run_00, step 220: train_loss 0.0512'."""
    values = ', '.join(f'{key} {value:.6g}' for key, value in scalars.items())
    logging.debug('%s, step %d: %s', self._name, step, values)

  def write_hparams(self, hparams: Mapping[str, Any]) -> None:
    """Writes nothing: the settings are in config.json."""

  def flush(self) -> None:
    """Does nothing: lines are written at once."""

  def close(self) -> None:
    """Does nothing."""


class _EventWriter:
  """CLU's writer of event files, in the background and also to buckets."""

  def __init__(self, folder: epath.Path):
    extras.quiet_tensorflow()
    from clu.metric_writers import AsyncWriter, SummaryWriter

    self._folder = folder
    self._scratch: tempfile.TemporaryDirectory | None = None
    if storage.is_remote(folder):
      # Event files grow, which objects cannot: each flush uploads the whole
      # file.
      self._scratch = tempfile.TemporaryDirectory()
      folder = epath.Path(self._scratch.name)
    self._writer = AsyncWriter(SummaryWriter(os.fspath(folder)))
    # What fails in the background is raised by the call that follows.
    self._told = functools.partial(
      atomic.write_errors_told, f'the event files in {self._folder}'
    )

  def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
    """Writes scalars in the background."""
    with self._told():
      self._writer.write_scalars(step, scalars)

  def write_hparams(self, hparams: Mapping[str, Any]) -> None:
    """Writes settings in the background."""
    with self._told():
      self._writer.write_hparams(hparams)

  def flush(self) -> None:
    """Writes what is waiting."""
    with self._told():
      self._writer.flush()
    self._upload()

  def close(self) -> None:
    """Writes what is waiting, and closes the file."""
    with self._told():
      self._writer.close()
    self._upload()
    if self._scratch is not None:
      self._scratch.cleanup()

  def _upload(self) -> None:
    if self._scratch is not None:
      for path in epath.Path(self._scratch.name).iterdir():
        storage.upload(path, self._folder / path.name)


class _Several:
  """Writes to several writers, where CLU's `MultiWriter` is not installed."""

  def __init__(self, writers: Sequence[Any]):
    self._writers = writers

  def write_scalars(self, step: int, scalars: Mapping[str, Any]) -> None:
    for writer in self._writers:
      writer.write_scalars(step, scalars)

  def write_hparams(self, hparams: Mapping[str, Any]) -> None:
    for writer in self._writers:
      writer.write_hparams(hparams)

  def flush(self) -> None:
    for writer in self._writers:
      writer.flush()

  def close(self) -> None:
    for writer in self._writers:
      writer.close()


class History:
  """All writers of one run.

  Attributes:
    table: the writer of history.csv.
    clock: the writers of values that depend on the clock; None until open.
  """

  def __init__(
    self,
    run_folder: epath.Path,
    first_step: int,
    *,
    name: str = '',
    hparams: Mapping[str, Any] | None = None,
    extra_tests: Sequence[str] = (),
  ):
    """Opens the table alone.

    Args:
      run_folder: the run's folder.
      first_step: the step the run resumes from; later rows are dropped.
      name: of the run, for log lines.
      hparams: settings by name, for TensorBoard.
      extra_tests: the names of further test splits.
    """
    self._folder = run_folder
    self._name = name or run_folder.name
    self._hparams = hparams
    self.table = CsvWriter(run_folder, first_step, extra_tests)
    self.clock: Any = None
    self._writer: Any = self.table

  def open_events(self) -> None:
    """Opens log lines and, where TensorFlow is installed, event files.

    Called after the first step, since the import takes seconds.
    """
    if self.clock is not None:
      return
    log, events = LogWriter(self._name), _event_writer(self._folder)
    if events is None:
      self.clock = log
      self._writer = _Several([self.table, log])
    else:
      from clu.metric_writers import MultiWriter

      self.clock = MultiWriter([log, events])
      self._writer = MultiWriter([self.table, log, events])
    if self._hparams:
      self._writer.write_hparams(self._hparams)

  def add(self, row: Mapping[str, Any]) -> None:
    """Adds a row: 'step' and other columns; missing columns stay empty."""
    rows = self.table.rows
    if rows and int(rows[-1]['step']) >= row['step']:
      return  # In a resumed wave, some runs may have written this row already.
    scalars = {
      key: row[key]
      for key in self.table.columns[1:]
      if row.get(key) is not None
    }
    self._writer.write_scalars(int(row['step']), scalars)

  def write(self) -> None:
    """Writes everything to the disk or the bucket."""
    self._writer.flush()

  def close(self) -> None:
    """Writes everything and closes the event file."""
    self._writer.close()
    self._writer = self.table


def _text(value: Any) -> str:
  # Nine digits give a float32 back exactly.
  return str(value) if isinstance(value, int) else format(float(value), '.9g')


def _event_writer(folder: epath.Path) -> Any | None:
  """A writer of event files; None, logged once, where TensorFlow is missing."""
  try:
    return _EventWriter(folder)
  except ImportError as error:
    global _said_no_writers
    if not _said_no_writers:
      _said_no_writers = True
      logging.info('No event files for TensorBoard, only CSV: %s', error)
    return None


def report_progress(clocks: Sequence[Any]) -> Callable[[int], Any]:
  """Returns a function of a step that writes steps per second.

  It uses the times of its calls, and so waits for no device. Without CLU it
  does nothing: log lines have the rate anyway.

  Args:
    clocks: of the histories.
  """
  if not clocks or isinstance(clocks[0], LogWriter):
    return lambda step: None
  from clu.metric_writers import MultiWriter
  from clu.periodic_actions import ReportProgress

  return ReportProgress(writer=MultiWriter(clocks), every_secs=0.0)


def read_history(run_folder: epath.PathLike) -> list[dict[str, str]]:
  """Reads the rows of a run's history.csv."""
  content = storage.read_bytes(epath.Path(run_folder) / HISTORY)
  return list(csv.DictReader(io.StringIO(content.decode())))
