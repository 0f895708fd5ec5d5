"""Tests datadiet.training.in_flight: how far the host runs ahead."""

import pytest

from datadiet.training import in_flight
from tests.training import small_runs


class Output:
  """Of a dispatch; says when it was waited for."""

  def __init__(self, number, waits):
    self._number, self._waits = number, waits

  def block_until_ready(self):
    self._waits.append(self._number)


def waits_for(monkeypatch, seconds, num):
  """For each dispatch, which was waited for last when it was noted."""
  now = iter(range(num))
  monkeypatch.setattr(in_flight.time, 'monotonic', lambda: seconds * next(now))
  flying, waits = in_flight.InFlight(small_runs.run_mesh(1, 1)), []
  newest = []
  for number in range(num):
    assert not flying.add(Output(number, waits))
    newest.append(max(waits))
  return newest


def test_fast_dispatches_are_waited_for_two_later(monkeypatch):
  newest = waits_for(monkeypatch, 0.01, 10)
  # After the first four, which are timed, the devices never run dry.
  assert newest == [0, 1, 2, 3, 3, 3, 4, 5, 6, 7]


def test_slow_dispatches_are_waited_for_one_by_one(monkeypatch):
  assert waits_for(monkeypatch, 1.0, 8) == list(range(8))


@pytest.mark.parametrize('seconds', [0.01, 1.0])
def test_a_request_to_stop_is_answered_at_once(monkeypatch, seconds):
  waits_for(monkeypatch, seconds, 8)
  flying, waits = in_flight.InFlight(small_runs.run_mesh(1, 1)), []
  monkeypatch.setattr(in_flight.stopping, '_requested', True)
  monkeypatch.setattr(in_flight.time, 'monotonic', lambda: 0.0)
  assert flying.add(Output(0, waits))
