"""Tests datadiet.runtime.progress."""

import io
import logging
import sys

import pytest

from datadiet.runtime import progress as progress_lib
from datadiet.runtime.progress import Progress, format_seconds, progress


@pytest.fixture
def clock(monkeypatch):
  """A clock that stands still until it is moved."""
  now = [100.0]
  monkeypatch.setattr(progress_lib.time, 'monotonic', lambda: now[0])
  return now


class Terminal(io.StringIO):
  """A stderr that says it is a terminal."""

  def isatty(self):
    return True


@pytest.fixture
def lines(caplog):
  caplog.set_level(logging.INFO, logger='absl')
  return lambda: [record.getMessage() for record in caplog.records]


def test_line_says_how_far_how_fast_and_how_long(clock):
  shown = Progress('scoring', 1000, 'images')
  clock[0] += 10.0
  shown.advance(200)
  assert shown.line() == 'scoring: 200/1000 images, 20.0 images/s, 40 s left'
  assert shown.line('loss 1.2').endswith('40 s left, loss 1.2')


def test_units_done_before_do_not_count_for_the_rate(clock):
  shown = Progress('training', 1000, 'images', initial=500)
  clock[0] += 10.0
  shown.advance(100)
  assert shown.rate == 10.0
  assert shown.line() == 'training: 600/1000 images, 10.0 images/s, 40 s left'


def test_the_time_of_the_first_units_does_not_count_where_there_are_more(clock):
  shown = Progress('training', 1000, 'images')
  for seconds in (60.0, 2.0, 2.0):  # The first call compiles.
    clock[0] += seconds
    shown.advance(100)
  assert shown.rate == 50.0


def test_before_the_first_unit_the_time_left_is_unknown(clock):
  assert 'unknown time left' in Progress('training', 10, 'steps').line()


def test_without_a_terminal_a_line_is_logged_now_and_then(clock, lines):
  with progress('scoring', 100, 'images') as shown:
    for _ in range(50):
      clock[0] += 0.5
      shown.advance(1, 'fine')
  # 25 seconds: 10 and 20 after the first.
  assert lines() == [
    'scoring: 21/100 images, 2.0 images/s, 40 s left, fine',
    'scoring: 41/100 images, 2.0 images/s, 30 s left, fine',
  ]


def test_no_line_foretells_by_the_time_of_compilation(clock, lines):
  with progress('training', 1000, 'images') as shown:
    for seconds in (60.0, 2.0, 9.0):
      clock[0] += seconds
      shown.advance(100)
  assert lines() == ['training: 300/1000 images, 18.2 images/s, 38 s left']


def test_on_a_terminal_a_bar_is_drawn_and_removed(monkeypatch, lines):
  terminal = Terminal()
  monkeypatch.setattr(sys, 'stderr', terminal)
  with progress('scoring', 10, 'images', initial=4) as shown:
    shown.advance(6, 'accuracy 50 %')
    shown._bar.refresh()
  drawn = terminal.getvalue()
  assert 'scoring: 100%' in drawn and 'accuracy 50 %' in drawn
  assert drawn.rsplit('\r', 2)[1].strip() == ''  # Wiped at the end.
  assert not lines()


def test_the_bar_is_removed_when_the_work_fails(monkeypatch):
  monkeypatch.setattr(sys, 'stderr', Terminal())
  with pytest.raises(KeyError), progress('scoring', 10, 'images') as shown:
    raise KeyError
  assert shown._bar.disable


@pytest.mark.parametrize(
  'seconds, text',
  [
    (0.2, '0 s'),
    (59.4, '59 s'),
    (59.6, '1 min 0 s'),
    (190, '3 min 10 s'),
    (3599.7, '1 h 0 min'),
    (7500, '2 h 5 min'),
    (float('inf'), 'unknown time'),
  ],
)
def test_format_seconds(seconds, text):
  assert format_seconds(seconds) == text
