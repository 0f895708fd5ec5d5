"""Several processes as one program: start-up, shared decisions, barriers.

Each process runs the same code on its own devices. The lead process (process 0)
decides what depends on files or on a machine's memory and broadcasts it, so
that all take the same branch. With one process everything here costs nothing.
"""

import importlib.util
import json
import os
import socket
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from absl import logging

# No public names have: whether the host has TPU chips, how its slice tells its
# hosts, and JAX's store of keys and values that all processes see.
from jax._src import cloud_tpu_init, hardware_utils
from jax._src import distributed as jax_distributed
from jax._src.clusters import cloud_tpu_cluster
from jax.experimental import multihost_utils

from datadiet.errors import ConfigError, DataDietError, Preempted
from datadiet.runtime import stopping

Value = TypeVar('Value')

# JAX's default takes 100 s to notice that another process has died.
_HEARTBEAT_SECONDS = 30

# How long the processes wait for each other at the start: they do not start at
# the same time, and hosts take a while to boot; those of a TPU slice come one
# by one, for half an hour where there are many.
_JOIN_SECONDS = 300
_TPU_JOIN_SECONDS = 1800
_join_seconds = _JOIN_SECONDS


def _number(name: str) -> int:
  """The number in an environment variable; 1 if there is none."""
  text = os.environ.get(name, '')
  return int(text) if text.isdigit() else 1


def _clusters() -> dict[str, bool]:
  """Cluster environments from which JAX can tell the processes."""
  env = os.environ
  return {
    'Slurm': _number('SLURM_STEP_NUM_TASKS') > 1 and 'SLURM_PROCID' in env,
    'Open MPI': _number('OMPI_COMM_WORLD_SIZE') > 1,
    'Kubernetes': 'JOB_COMPLETION_INDEX' in env
    and importlib.util.find_spec('kubernetes') is not None,
    'TPU': _is_host_of_tpu_slice(),
  }


def _platforms() -> str | None:
  """What kinds of devices JAX was told to look for, such as 'tpu,cpu'."""
  config: Any = jax.config  # Its options are not among its types.
  return config.jax_platforms


def _is_host_of_tpu_slice() -> bool:
  """Whether this host has TPU chips, and something says who its hosts are."""
  if not cloud_tpu_init.running_in_cloud_tpu_vm:
    return False
  if not (_platforms() or 'tpu').startswith('tpu'):
    return False
  known = (cloud_tpu_cluster.GkeTpuCluster, cloud_tpu_cluster.GceTpuCluster)
  try:
    return any(cluster.is_env_present() for cluster in known)
  except OSError as error:  # Of the request to the metadata server.
    logging.info('Nothing tells of other TPU hosts: %s', error)
    return False


def _leave_out_absent_tpu() -> None:
  """Computes on the CPU where only the library of TPUs is there.

  It would look for chips, neighbours and a metadata server first, and go by
  what variables of an earlier machine say of them.
  """
  if (
    _platforms()
    or cloud_tpu_init.running_in_cloud_tpu_vm
    or importlib.util.find_spec('libtpu') is None
    or hardware_utils.has_visible_nvidia_gpu()
  ):
    return
  jax.config.update('jax_platforms', 'cpu')
  logging.info('libtpu is installed, but no TPU is here: using the CPU.')


def _may_use_all_devices() -> bool:
  """Whether this process may use all devices of its host."""
  return not (
    _number('SLURM_STEP_NUM_TASKS') > _number('SLURM_STEP_NUM_NODES')
    or _number('OMPI_COMM_WORLD_LOCAL_SIZE') > 1
    or 'JAX_LOCAL_DEVICE_IDS' in os.environ
  )


def initialize(
  coordinator_address: str | None,
  num_processes: int | None,
  process_id: int | None,
  join_seconds: int | None = None,
) -> None:
  """Joins the other processes, if any. Call it before JAX is used.

  Args:
    coordinator_address: 'host:port' of process 0, or None to look for Slurm,
      Open MPI, TPU hosts or, with its package, Kubernetes in the environment.
    num_processes: how many there are.
    process_id: which one this is, from 0.
    join_seconds: how long to wait for the others; None for half an hour on the
      hosts of a TPU slice and five minutes elsewhere.

  Raises:
    ConfigError: if only some arguments are given, or they do not fit.
    DataDietError: if the others cannot be reached.
  """
  global _join_seconds
  if join_seconds is not None and join_seconds < 1:
    raise ConfigError(
      f'--join_seconds: {join_seconds} is not allowed; allowed: a number of '
      'seconds, at least 1'
    )
  _leave_out_absent_tpu()
  given = (coordinator_address, num_processes, process_id)
  if any(value is not None for value in given):
    _check(*given)
    on_tpu_slice = False
  else:
    found = _clusters()
    if not any(found.values()):
      return
    on_tpu_slice = found['TPU']
  _join_seconds = join_seconds or (
    _TPU_JOIN_SECONDS if on_tpu_slice else _JOIN_SECONDS
  )
  try:
    jax.distributed.initialize(
      *given,
      # JAX's default gives each task of Slurm and Open MPI one GPU.
      local_device_ids=[] if _may_use_all_devices() else None,
      heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
      initialization_timeout=_join_seconds,
    )
  except (RuntimeError, ValueError) as error:
    raise DataDietError(
      f'cannot join the other processes: {str(error).splitlines()[0]}'
    ) from error


def _check(coordinator_address, num_processes, process_id) -> None:
  if None in (coordinator_address, num_processes, process_id):
    raise ConfigError(
      '--coordinator_address, --num_processes and --process_id go together; '
      'allowed: all three or none of them'
    )
  host, _, port = coordinator_address.rpartition(':')
  if not host or not port.isdigit():
    raise ConfigError(
      f'--coordinator_address: {coordinator_address!r} is not allowed; '
      'allowed: HOST:PORT of process 0'
    )
  if not 0 <= process_id < num_processes:
    raise ConfigError(
      f'--process_id: {process_id} is not allowed; allowed: from 0 to '
      f'--num_processes - 1 = {num_processes - 1}'
    )


def join_seconds() -> int:
  """How long processes wait for each other where they may still be starting."""
  return _join_seconds


def is_lead() -> bool:
  """Whether this is the lead process, which writes shared files."""
  return jax.process_index() == 0


def broadcast_from_lead(function: Callable[[], Value]) -> Value:
  """Calls a function on the lead process and broadcasts its value.

  Args:
    function: returns a value that JSON can hold; lists stay lists.
  """
  if jax.process_count() == 1:
    return function()
  content = json.dumps(function()).encode() if is_lead() else b''
  size = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
  # Padded to few sizes, so that few programs are compiled.
  buffer = np.zeros(max(256, 1 << size.bit_length()), np.uint8)
  buffer[: len(content)] = np.frombuffer(content, np.uint8)
  buffer = np.asarray(multihost_utils.broadcast_one_to_all(buffer))
  return json.loads(buffer[:size].tobytes())


def barrier(name: str) -> None:
  """Waits until all processes reach this call."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def stop_if_any_is_asked_to() -> None:
  """Stops all processes if any was asked to; call it with nothing unsaved.

  Raises:
    Preempted: in all of them, if at least one was asked to stop.
  """
  if any_process(stopping.stop_requested()):
    raise Preempted


def any_process(value: bool) -> bool:
  """Whether `value` is true in at least one process; waits for all."""
  if jax.process_count() == 1:
    return value
  return bool(multihost_utils.process_allgather(np.int32(value)).any())


def one_a_host_first(function: Callable[[], Value]) -> Value:
  """Calls a function on one process of each host, then on the others.

  For reading data: the first one fills the cache that the others find.
  """
  if jax.process_count() == 1:
    return function()
  host = np.uint32(zlib.crc32(socket.gethostname().encode()))
  hosts = multihost_utils.process_allgather(host).ravel()
  is_leader = int(np.flatnonzero(hosts == host)[0]) == jax.process_index()
  if is_leader:
    value = function()
  barrier('read once a host')
  return value if is_leader else function()


def has_peers() -> bool:
  """Whether there are other processes."""
  return store() is not None


def store() -> Any:
  """JAX's key-value store that all processes share; None with one process.

  Unlike everything else here it needs no device and waits for no process.
  """
  state = global_state()
  return state.client if (state.num_processes or 1) > 1 else None


def own_number() -> str:
  """The number of this process, known before any device is used."""
  return str(global_state().process_id)


def global_state() -> Any:
  """JAX's record of the processes, available before devices are initialized."""
  return jax_distributed.global_state
