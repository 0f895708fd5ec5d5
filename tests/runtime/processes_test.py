"""Tests what several processes need of each other, in one process."""

import os
import subprocess
import sys

import jax
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


@pytest.fixture
def joined(monkeypatch):
  """What `jax.distributed.initialize` was given; it joins nobody."""
  given = []
  monkeypatch.setattr(
    processes.jax.distributed,
    'initialize',
    lambda *values, **named: given.append((*values, named)),
  )
  monkeypatch.setattr(processes, '_join_seconds', 0)
  return given


def _on_a_tpu_host(monkeypatch, metadata):
  """As on a host with chips, whose metadata server answers so."""
  monkeypatch.setattr(processes.cloud_tpu_init, 'running_in_cloud_tpu_vm', True)
  monkeypatch.setattr(
    processes.cloud_tpu_cluster, 'running_in_cloud_tpu_vm', True
  )
  monkeypatch.setattr(processes.cloud_tpu_cluster, 'get_metadata', metadata)
  monkeypatch.delenv('TPU_SKIP_MDS_QUERY', raising=False)
  jax.config.update('jax_platforms', 'tpu,cpu')


@pytest.fixture
def platforms():
  old = jax.config.jax_platforms
  yield
  jax.config.update('jax_platforms', old)


def _no_server(key):
  raise ConnectionError('metadata.google.internal')


@pytest.mark.parametrize(
  'join_seconds, expected', [(None, 1800), (77, 77)], ids=['default', 'given']
)
def test_hosts_of_a_tpu_slice_wait_for_half_an_hour(
  join_seconds, expected, joined, platforms, monkeypatch
):
  _on_a_tpu_host(monkeypatch, lambda key: ('0', 200))
  processes.initialize(None, None, None, join_seconds)
  assert joined[0][-1]['initialization_timeout'] == expected
  assert processes.join_seconds() == expected


def test_others_wait_for_five_minutes(joined):
  processes.initialize('host:1', 2, 0)
  assert joined[0][-1]['initialization_timeout'] == 300


def test_a_wait_of_no_time_is_refused():
  with pytest.raises(ConfigError, match='--join_seconds: 0 is not allowed'):
    processes.initialize(None, None, None, 0)


def test_a_tpu_without_a_metadata_server_runs_alone(
  joined, platforms, monkeypatch
):
  _on_a_tpu_host(monkeypatch, _no_server)
  monkeypatch.delenv('TPU_WORKER_HOSTNAMES', raising=False)
  processes.initialize(None, None, None)
  assert not joined


_WITHOUT_A_TPU = """
import jax
from absl import logging
from datadiet.runtime import processes
logging.set_verbosity(logging.INFO)
processes.initialize(None, None, None)
print([device.platform for device in jax.devices()], jax.process_count())
"""


def test_a_host_with_the_library_of_tpus_alone_uses_its_cpu(tmp_path):
  """Whatever variables of an earlier machine say of its neighbours."""
  (tmp_path / 'libtpu.py').write_text(
    'def get_library_path():\n  return "/nowhere/libtpu.so"\n'
  )
  environment = running.environment(tmp_path)
  environment.pop('JAX_PLATFORMS', None)
  path = f'{tmp_path}{os.pathsep}{running.REPOSITORY}'
  done = subprocess.run(
    [sys.executable, '-c', _WITHOUT_A_TPU],
    env={
      **environment,
      'PYTHONPATH': path,
      'MEGASCALE_COORDINATOR_ADDRESS': '10.0.0.9:8080',
      'MEGASCALE_NUM_SLICES': '2',
      'TPU_WORKER_HOSTNAMES': '10.0.0.9,10.0.0.8',
    },
    capture_output=True,
    text=True,
    timeout=60,
  )
  assert done.stdout.endswith("'cpu'] 1\n"), done.stderr
  assert done.stderr.count('libtpu is installed, but no TPU is here') == 1
  assert len(done.stderr.splitlines()) == 1


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
