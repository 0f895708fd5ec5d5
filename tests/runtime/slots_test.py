"""Tests of how many runs train at once; more in mesh_test.py."""

import pytest

from datadiet.runtime.slots import choose_slots


@pytest.mark.parametrize(
  ('num_runs', 'num_devices', 'slots'),
  [
    # One wave on four devices each, 24 of them idle, not two on eight each.
    (10, 64, 16),
    (10, 16, 16),
    (64, 64, 64),
    (1, 64, 1),
    (0, 1, 0),
  ],
)
def test_a_pod_may_be_idle_in_part(num_runs, num_devices, slots):
  assert choose_slots(num_runs, num_devices, 128) == slots
