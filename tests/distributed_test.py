"""Tests what several processes need of each other, in one process."""

import os

import pytest

from datadiet import distributed
from datadiet.errors import ConfigError


@pytest.mark.parametrize(
  'given, message',
  [
    (('host:1', None, 0), 'go together; allowed: all three or none'),
    (('host', 2, 0), "--coordinator_address: 'host' is not allowed"),
    (('host:1', 2, 2), '--process_id: 2 is not allowed; allowed: from 0 to'),
  ],
)
def test_flags_that_do_not_fit(given, message):
  with pytest.raises(ConfigError, match=message):
    distributed.initialize(*given)


@pytest.mark.parametrize(
  'variables, expected',
  [
    ({}, []),
    ({'SLURM_JOB_ID': '7', 'SLURM_NTASKS': '4'}, []),
    ({'SLURM_PROCID': '1', 'SLURM_STEP_NUM_TASKS': '1'}, []),
    ({'SLURM_PROCID': '1', 'SLURM_STEP_NUM_TASKS': '4'}, ['Slurm']),
    ({'OMPI_COMM_WORLD_SIZE': '2'}, ['Open MPI']),
  ],
)
def test_environments_that_say_who_takes_part(variables, expected, monkeypatch):
  for name in list(os.environ):
    if name.startswith(('SLURM_', 'OMPI_')):
      monkeypatch.delenv(name)
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  found = [name for name, here in distributed._clusters().items() if here]
  assert found == expected


def test_one_process_waits_for_nobody():
  assert distributed.decide(lambda: [1, 'a']) == [1, 'a']
  assert distributed.any_process(True) is True
  assert distributed.one_a_host_first(lambda: 3) == 3
  distributed.barrier('nobody')
  assert distributed.is_first() and not distributed.has_peers()
