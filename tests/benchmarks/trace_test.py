"""Tests of how a profile is read."""

import re
import types

import pytest

from benchmarks import trace
from datadiet import config as config_lib
from tests import running


def _profile(**planes):
  def event(name, start, duration, **stats):
    return types.SimpleNamespace(
      name=name, start_ns=start, duration_ns=duration, stats=stats.items()
    )

  return types.SimpleNamespace(
    planes=[
      types.SimpleNamespace(
        name=plane,
        lines=[
          types.SimpleNamespace(name=line, events=[event(*e) for e in events])
          for line, events in lines.items()
        ],
      )
      for plane, lines in planes.items()
    ]
  )


def test_time_in_which_anything_goes_on():
  events = [('a', 0, 10), ('b', 5, 12), ('c', 20, 30), ('d', 22, 25)]
  assert trace.busy_share(events) == pytest.approx(22 / 30)
  assert trace.busy_share(events[::-1]) == pytest.approx(22 / 30)
  assert trace.busy_share([('a', 3, 7)]) == 1.0
  assert trace.busy_share([]) == 0.0


def test_operations_are_added_up():
  events = [('conv', 0, 2e6), ('norm', 0, 3e6), ('conv', 5e6, 7e6)]
  assert trace.top_operations(events, 2) == [('conv', 2, 4.0), ('norm', 1, 3.0)]
  assert len(trace.top_operations(events, 1)) == 1


@pytest.mark.parametrize(
  ('lines', 'expected'),
  [
    # A GPU: its streams.
    ({'Stream #13': [('k', 1, 2)], 'XLA Ops': [('k', 1, 2)]}, [('k', 1, 3)]),
    # A TPU: what modules and steps consist of.
    ({'Steps': [('0', 0, 9)], 'XLA Ops': [('k', 1, 2)]}, [('k', 1, 3)]),
  ],
)
def test_nothing_of_a_device_counts_twice(lines, expected):
  profile = _profile(**{'/host:CPU': {'python': [('f', 0, 9)]}})
  profile.planes += _profile(**{'/device:GPU:0': lines}).planes
  assert trace.device_events(profile, is_host=False) == expected


def test_what_the_host_does_is_no_work_of_a_device_that_was_not_seen():
  profile = _profile(**{'/host:CPU': {'launches': [('f', 0, 9)]}})
  profile.planes[0].lines[0].events[0].stats = {'hlo_op': 'conv'}.items()
  assert trace.device_events(profile, is_host=False) == []


def test_a_cpu_is_read_off_the_host():
  profile = _profile(**{'/host:CPU': {'python': [('f', 0, 9)], 'pool': []}})
  operation = types.SimpleNamespace(
    name='convolution',
    start_ns=4,
    duration_ns=2,
    stats={'hlo_op': 'convolution.3'}.items(),
  )
  profile.planes[0].lines[1].events.append(operation)
  events = trace.device_events(profile, is_host=True)
  assert events == [('convolution.3', 4, 6)]


def test_fewer_steps_than_a_call_has_are_recorded_as_one(tmp_path):
  config = running.tiny_config(train__steps_per_call=4)
  recorded = trace.record(config_lib.resolve(config), 3, str(tmp_path))
  assert recorded.num_steps == 4
  table = trace.report(str(tmp_path), recorded, batch_size=64)
  assert re.match(r'[\d,]+ images/s\n\n4 steps of 64 images in ', table)
  assert re.search(r'device busy [\d.]+ % of the time', table)
  assert '% |' in table.splitlines()[-1]
