"""Tests what the table of benchmarks is made of."""

import importlib
import json

import numpy as np
import pytest

from benchmarks import bench, timing


def test_contenders_take_turns_after_a_round_that_warms_up():
  calls = []

  def contender(name, figures):
    def call():
      calls.append(name)
      return figures.pop(0)

    return call

  measured = timing.take_turns(
    {
      'ours': contender('ours', [99.0, 2.0, 4.0]),
      'theirs': contender('theirs', [99.0, 1.0, 1.0]),
    },
    repeats=2,
  )
  np.testing.assert_array_equal(measured['ours'], [2.0, 4.0])
  # The order turns round, so that neither always has the warmer machine.
  assert calls == ['ours', 'theirs', 'theirs', 'ours', 'ours', 'theirs']
  rows = timing.rows_of('part', measured, 'images/s', {'ours': 'theirs'})
  assert rows[0].ratios == (2.0, 4.0)
  assert not rows[1].ratios


def test_a_ratio_to_what_was_left_out_is_left_out():
  measured = {'theirs': np.array([1.0])}
  rows = timing.rows_of('part', measured, 's', {'theirs': 'ours'})
  assert rows[0].against == ''


def test_the_table_and_the_figures_say_the_same():
  row = timing.Row(
    'part', 'what', 's', (0.5, 2.0, 1.0), 'other', (0.2, 0.4, 0.3), 'at most 1'
  )
  line = timing.markdown([row]).splitlines()[-1]
  assert line == (
    '| part | what | 1.00 s | 0.500 to 2.00 '
    '| 0.30 (0.20 to 0.40) | other | at most 1 |'
  )
  (read,) = json.loads(timing.as_json([row], where='here'))['rows']
  assert timing.Row(**read).median == 1.0


@pytest.mark.parametrize(
  'value, shown',
  [(0.0, '0'), (12345.6, '12,346'), (1.0, '1.00'), (0.0001234, '0.000123')],
)
def test_three_digits(value, shown):
  row = timing.Row('p', 'n', 's', (value,))
  assert f'| {shown} s |' in timing.markdown([row])


@pytest.mark.parametrize('name', bench.PARTS)
def test_every_part_can_be_measured(name):
  assert callable(importlib.import_module(f'benchmarks.{name}').rows)


def test_a_contender_that_fails_costs_no_other():
  calls = []

  def build():
    calls.append('built')
    raise ModuleNotFoundError("No module named 'peer'\nat length")

  def late():
    calls.append('late')
    if calls.count('late') == 2:
      raise MemoryError
    return 1.0

  measured = timing.take_turns(
    {
      'ours': lambda: 2.0,
      'peer': timing.built_late(build),
      'late': timing.built_late(lambda: late),
    },
    repeats=3,
  )
  assert calls == ['built', 'late', 'late']
  rows = timing.rows_of('part', measured, 's', {'ours': 'peer'})
  assert rows[0].values == (2.0, 2.0, 2.0) and not rows[0].ratios
  table = timing.markdown(rows)
  reason = "failed: ModuleNotFoundError: No module named 'peer' |"
  assert reason in table and 'failed: MemoryError' in table
  (*_, row) = json.loads(timing.as_json(rows))['rows']
  assert timing.Row(**row).failed == rows[2].failed


@pytest.fixture
def clock(monkeypatch):
  """A clock that contenders move on."""
  now = [0.0]
  monkeypatch.setattr(timing.time, 'monotonic', lambda: now[0])

  def contender(seconds):
    def call():
      now[0] += seconds
      return 1.0

    return call

  return contender


def test_with_little_time_left_nothing_more_is_begun(clock):
  contenders = {'ours': clock(50), 'theirs': clock(20), 'last': clock(1)}
  measured = timing.take_turns(contenders, repeats=3, seconds=100)
  assert measured['last'] == 'no time was left'
  # One round always: else there would be no figure at all.
  assert len(measured['ours']) == len(measured['theirs']) == 1
  measured = timing.take_turns(contenders, repeats=3, seconds=1000)
  assert len(measured['last']) == 3


def test_what_is_cut_off_leaves_the_figures_it_has(capsys):
  def cut_off():
    raise KeyboardInterrupt

  with pytest.raises(KeyboardInterrupt):
    timing.take_turns({'ours': lambda: 1234.5, 'theirs': cut_off}, repeats=1)
  assert 'ours: 1234 (warm-up' in capsys.readouterr().err


def test_the_machine_is_named_without_git(monkeypatch):
  monkeypatch.setenv('PATH', '')
  assert bench._commit() == 'unknown'
  assert bench._processor()
  monkeypatch.setattr('os.getloadavg', lambda: (99.0, 0, 0))
  assert timing.load() == 'load average at the start 99.0 (BUSY)'
