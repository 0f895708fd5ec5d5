"""Tests of the accelerator benchmark: profiles, agreement, the tables."""

import types

import numpy as np
import pytest

from benchmarks import accelerator


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
  assert accelerator.busy_share(events) == pytest.approx(22 / 30)
  assert accelerator.busy_share(events[::-1]) == pytest.approx(22 / 30)
  assert accelerator.busy_share([('a', 3, 7)]) == 1.0
  assert accelerator.busy_share([]) == 0.0


def test_operations_are_added_up():
  events = [('conv', 0, 2e6), ('norm', 0, 3e6), ('conv', 5e6, 7e6)]
  assert accelerator.top_operations(events, 2) == [
    ('conv', 2, 4.0),
    ('norm', 1, 3.0),
  ]
  assert len(accelerator.top_operations(events, 1)) == 1


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
  assert accelerator.device_events(profile, is_host=False) == expected


def test_what_the_host_does_is_no_work_of_a_device_that_was_not_seen():
  profile = _profile(**{'/host:CPU': {'launches': [('f', 0, 9)]}})
  profile.planes[0].lines[0].events[0].stats = {'hlo_op': 'conv'}.items()
  assert accelerator.device_events(profile, is_host=False) == []


def test_a_cpu_is_read_off_the_host():
  profile = _profile(**{'/host:CPU': {'python': [('f', 0, 9)], 'pool': []}})
  operation = types.SimpleNamespace(
    name='convolution',
    start_ns=4,
    duration_ns=2,
    stats={'hlo_op': 'convolution.3'}.items(),
  )
  profile.planes[0].lines[1].events.append(operation)
  events = accelerator.device_events(profile, is_host=True)
  assert events == [('convolution.3', 4, 6)]


def test_equal_scores_agree():
  scores = np.random.default_rng(0).random(100).astype(np.float32)
  found = accelerator.compare(scores, scores)
  assert found == {
    'spearman': pytest.approx(1.0),
    'difference': 0.0,
    'shared_half': 1.0,
    'shared_tenth': 1.0,
  }


def test_opposite_scores_share_nothing():
  scores = np.arange(1.0, 101.0, dtype=np.float32)
  found = accelerator.compare(scores, scores[::-1])
  assert found['spearman'] == pytest.approx(-1.0)
  assert found['shared_half'] == found['shared_tenth'] == 0.0
  assert found['difference'] == pytest.approx(99 / 50.5)


def test_the_tables_of_a_tiny_network():
  flags = ['--model=simple_cnn', '--width=4', '--num_images=64']
  flags += ['--num_steps=2', '--batch_sizes', '32', '--dtypes', 'float32']
  flags += ['--precisions', 'float32', 'bfloat16', '--chunk_size=32']
  lines = accelerator.report(accelerator.parse_flags(flags)).splitlines()
  (trained,) = [line for line in lines if line.startswith('| simple_cnn')]
  assert 'float32, batch 32' in trained and '% |' in trained
  scored = [line for line in lines if line.startswith(('| el2n', '| grand'))]
  assert len(scored) == 4
  assert '| 1.00000 | 0.0e+00 | 1.0000 | 1.0000 |' in scored[0]
  assert '0.0e+00' not in scored[1]
  assert any('conv' in line for line in lines[lines.index(scored[-1]) + 4 :])
