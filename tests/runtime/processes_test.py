"""Tests what several processes need of each other, in one process."""

import os
import subprocess
import sys

import pytest

from datadiet.errors import ConfigError
from datadiet.runtime import processes
from tests import running


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
    processes.initialize(*given)


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
  found = [name for name, here in processes._clusters().items() if here]
  assert found == expected


_VISIBLE = """
import socket
from jax._src import xla_bridge
from datadiet.runtime import processes
with socket.socket() as free:
  free.bind(('localhost', 0))
  port = free.getsockname()[1]
processes.initialize(f'localhost:{port}', 1, 0)
print(xla_bridge.CUDA_VISIBLE_DEVICES.value)
"""


@pytest.mark.parametrize(
  'tasks, visible', [('2', 'all'), ('16', '3')], ids=['one', 'eight']
)
def test_a_task_alone_on_its_node_of_slurm_has_all_gpus(
  tasks, visible, tmp_path
):
  done = subprocess.run(
    [sys.executable, '-c', _VISIBLE],
    cwd=running.REPOSITORY,
    env={
      **running.environment(tmp_path),
      'SLURM_JOB_ID': '7',
      'SLURM_STEP_NODELIST': 'node[1-2]',
      'SLURM_STEP_NUM_NODES': '2',
      'SLURM_STEP_NUM_TASKS': tasks,
      'SLURM_NTASKS': tasks,
      'SLURM_PROCID': '3',
      'SLURM_LOCALID': '3' if tasks == '16' else '0',
    },
    capture_output=True,
    text=True,
  )
  assert done.stdout == f'{visible}\n', done.stderr


def test_one_process_waits_for_nobody():
  assert processes.broadcast_from_lead(lambda: [1, 'a']) == [1, 'a']
  assert processes.any_process(True) is True
  assert processes.one_a_host_first(lambda: 3) == 3
  processes.barrier('nobody')
  assert processes.is_lead() and not processes.has_peers()
