"""Tests datadiet.training.history."""

import logging
import sys

import pytest
from etils import epath

from datadiet.errors import DataDietError
from datadiet.training import history as history_lib
from datadiet.training.history import History, read_history
from datadiet.workdir.tables import HISTORY_COLUMNS

# Before the fixtures of this folder put another in its place.
REAL_EVENT_WRITER = history_lib._event_writer


def make_history(folder, first_step=0, **options):
  return History(epath.Path(folder), first_step, **options)


def add_rows(history, steps):
  for step in steps:
    history.add(
      {
        'step': step,
        'epoch': step / 3,
        'learning_rate': 0.1,
        'train_loss': 1 / step,
        'test_accuracy': 0.5 if step % 2 == 0 else None,
      }
    )


def test_the_table_has_the_designs_columns(tmp_path):
  history = make_history(tmp_path)
  add_rows(history, [1, 2])
  history.write()
  assert (tmp_path / 'history.csv').read_text().splitlines() == [
    ','.join(HISTORY_COLUMNS),
    '1,0.333333333,0.1,1,,,',
    '2,0.666666667,0.1,0.5,,,0.5',
  ]
  assert read_history(tmp_path)[1]['test_accuracy'] == '0.5'


def test_a_resumed_history_is_the_uninterrupted_one(tmp_path):
  whole = make_history(tmp_path / 'whole')
  add_rows(whole, [1, 2, 3, 4])
  whole.close()
  # Written past the checkpoint at step 2, from which the run goes on.
  cut = make_history(tmp_path / 'cut')
  add_rows(cut, [1, 2, 3])
  cut.write()
  resumed = make_history(tmp_path / 'cut', first_step=2)
  assert len(resumed.table.rows) == 2
  add_rows(resumed, [3, 4])
  resumed.close()
  assert resumed.table.latest == whole.table.latest
  assert (tmp_path / 'cut' / 'history.csv').read_bytes() == (
    tmp_path / 'whole' / 'history.csv'
  ).read_bytes()


def test_a_run_that_starts_again_forgets_what_was_written(tmp_path):
  first = make_history(tmp_path)
  add_rows(first, [1, 2])
  first.write()
  assert make_history(tmp_path).table.rows == []
  assert make_history(tmp_path).table.latest == {}


def test_latest_is_the_last_figure_of_each_column(tmp_path):
  history = make_history(tmp_path)
  add_rows(history, [2, 3])
  assert history.table.latest['step'] == 3
  assert history.table.latest['test_accuracy'] == 0.5
  assert history.table.latest['train_loss'] == 0.333333333


def test_nine_digits_give_a_float32_back(tmp_path):
  history = make_history(tmp_path)
  history.add({'step': 1, 'train_loss': 0.1234567091941833})
  assert history.table.rows[0]['train_loss'] == '0.123456709'


def test_without_tensorflow_it_says_so_once_and_goes_on(
  tmp_path, monkeypatch, caplog
):
  monkeypatch.setattr(history_lib, '_event_writer', REAL_EVENT_WRITER)
  monkeypatch.setattr(history_lib, '_said_no_writers', False)
  monkeypatch.setitem(sys.modules, 'clu.metric_writers', None)
  caplog.set_level(logging.INFO, logger='absl')
  for run in ('a', 'b'):
    history = make_history(tmp_path / run)
    history.open_events()
    add_rows(history, [1])
    history.close()
    assert len(read_history(tmp_path / run)) == 1
  said = [r for r in caplog.records if 'No event files' in r.getMessage()]
  assert len(said) == 1


class Events:
  """Keeps what CLU's writers would put into an event file."""

  def __init__(self):
    self.scalars, self.hparams, self.flushed, self.closed = [], [], 0, False

  def write_scalars(self, step, scalars):
    self.scalars.append((step, dict(scalars)))

  def write_hparams(self, hparams):
    self.hparams.append(hparams)

  def flush(self):
    self.flushed += 1

  def close(self):
    self.closed = True


# CLU's MultiWriter comes with TensorFlow, which warns in its own ways.
@pytest.mark.filterwarnings('ignore')
def test_event_files_get_each_value_once_and_the_settings(
  tmp_path, monkeypatch
):
  pytest.importorskip('clu', reason='clu is not installed')
  events = []

  def open_events(folder):
    del folder
    events.append(Events())
    return events[-1]

  monkeypatch.setattr(history_lib, '_event_writer', open_events)
  history = make_history(tmp_path, hparams={'train': {'batch_size': 64}})
  add_rows(history, [1])  # Before the first step was over.
  history.open_events()
  history.open_events()
  add_rows(history, [2, 2, 3, 1])
  history.write()
  history.close()
  assert len(events) == 1
  assert [step for step, _ in events[0].scalars] == [2, 3]
  assert events[0].scalars[0][1] == {
    'epoch': 2 / 3,
    'learning_rate': 0.1,
    'train_loss': 0.5,
    'test_accuracy': 0.5,
  }
  assert 'test_accuracy' not in events[0].scalars[1][1]
  assert events[0].hparams == [{'train': {'batch_size': 64}}]
  assert events[0].flushed and events[0].closed
  assert [row['step'] for row in read_history(tmp_path)] == ['1', '2', '3']


@pytest.mark.filterwarnings('ignore')
def test_what_tells_the_time_is_not_in_the_table(tmp_path, monkeypatch):
  pytest.importorskip('clu', reason='clu is not installed')
  events = [Events(), Events()]
  opened = iter(events)
  monkeypatch.setattr(history_lib, '_event_writer', lambda folder: next(opened))
  histories = [make_history(tmp_path / run) for run in ('a', 'b')]
  for history in histories:
    history.open_events()
  report = history_lib.report_progress([h.clock for h in histories])
  for step in (10, 20, 30):
    report(step)
    for history in histories:
      add_rows(history, [step])
  for history, written in zip(histories, events):
    history.close()
    rates = [values for _, values in written.scalars if 'uptime' not in values]
    steps = [s for s, values in written.scalars if 'steps_per_sec' in values]
    assert steps == [20, 30]
    assert all(v['steps_per_sec'] > 0 for v in rates if 'steps_per_sec' in v)
    assert 'steps_per_sec' not in history.table.latest
  assert (
    (tmp_path / 'a' / 'history.csv')
    .read_text()
    .startswith(','.join(HISTORY_COLUMNS) + '\n10,')
  )


def test_without_clu_nothing_reports_the_rate(tmp_path):
  history = make_history(tmp_path)
  history.open_events()
  history_lib.report_progress([history.clock])(3)
  history_lib.report_progress([])(3)
  assert history.table.rows == []


def test_values_of_a_step_may_come_in_two_calls(tmp_path):
  """As CLU's writers allow."""
  table = history_lib.CsvWriter(epath.Path(tmp_path), 0)
  table.write_scalars(5, {'train_loss': 1.5, 'other': 3})
  table.write_scalars(5, {'test_loss': 2.5, 'train_loss': 9.0})
  table.write_scalars(4, {'train_loss': 7.0})
  table.close()
  assert read_history(tmp_path) == [
    dict(zip(HISTORY_COLUMNS, ('5', '', '', '1.5', '', '2.5', '')))
  ]


def test_log_lines_name_run_step_and_values(tmp_path, caplog):
  history = make_history(tmp_path, name='train/run_03')
  history.open_events()
  with caplog.at_level(logging.DEBUG, logger='absl'):
    add_rows(history, [3])
  assert 'train/run_03, step 3: epoch 1, learning_rate 0.1' in caplog.text


@pytest.mark.filterwarnings('ignore')
def test_a_full_disk_under_event_files_is_named(tmp_path, monkeypatch):
  pytest.importorskip('clu', reason='clu is not installed')
  pytest.importorskip('tensorflow', reason='TensorFlow is not installed')
  from clu import metric_writers

  def full(self, step, scalars):
    raise RuntimeError('RESOURCE_EXHAUSTED: x; No space left on device')

  monkeypatch.setattr(history_lib, '_event_writer', REAL_EVENT_WRITER)
  monkeypatch.setattr(metric_writers.SummaryWriter, 'write_scalars', full)
  history = make_history(tmp_path)
  history.open_events()
  add_rows(history, [1])
  with pytest.raises(DataDietError) as error:
    history.write()
  assert str(error.value) == (
    f'cannot write the event files in {tmp_path}: no space left on device'
  )
  # What is in the table is on the disk all the same.
  assert len(read_history(tmp_path)) == 1


# TensorFlow and what it imports warn in their own ways.
@pytest.mark.filterwarnings('ignore')
def test_clu_writes_an_event_file(tmp_path, monkeypatch):
  pytest.importorskip('clu', reason='clu is not installed')
  pytest.importorskip('tensorflow', reason='TensorFlow is not installed')
  monkeypatch.setattr(history_lib, '_event_writer', REAL_EVENT_WRITER)
  history = make_history(tmp_path, hparams={'a': {'b': (1, 'x')}, 'c': None})
  history.open_events()
  add_rows(history, [4])
  history.close()
  files = list(tmp_path.glob('events.out.tfevents.*'))
  assert len(files) == 1
  content = files[0].read_bytes()
  assert b'a.b.0' in content
  assert b'train_loss' in content and b'test_accuracy' in content
