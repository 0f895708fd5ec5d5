"""Several processes as one program: start-up, shared decisions, barriers.

Each process runs the same code on its own devices. What depends on files or on
a machine's memory is decided by process 0 and told to the others, so that all
take the same way. With one process everything here costs nothing.
"""

import importlib.util
import json
import os
import socket
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from absl import logging

# JAX's store of keys and values that all processes see has no public name.
from jax._src import distributed as jax_distributed
from jax.experimental import multihost_utils

from datadiet.errors import ConfigError, DataDietError, Preempted
from datadiet.runtime import stopping

Value = TypeVar('Value')

# JAX's default takes 100 s to notice that another process is gone.
_HEARTBEAT_SECONDS = 30

# How long the processes wait for each other at the start: they are not started
# in one moment, and hosts take a while to boot.
_JOIN_SECONDS = 300

_STOPPED = 'datadiet/stopped'
_LISTEN_SECONDS = 0.5
# How long a process that stops waits for the others: to hear of it, which comes
# before they notice that it is gone and take that for a failure, and to save.
_HEAR_SECONDS = 10.0
_SAVE_SECONDS = 15.0
# By which process 0, with which the store goes, outlives the others where they
# have not met.
_LAST_SECONDS = 1.0


def _number(name: str) -> int:
  """The number in an environment variable; 1 if there is none."""
  text = os.environ.get(name, '')
  return int(text) if text.isdigit() else 1


def _clusters() -> dict[str, bool]:
  """Environments that say by themselves who takes part."""
  env = os.environ
  has_tpu = any(Path('/dev').glob('accel*')) or Path('/dev/vfio').exists()
  return {
    'Slurm': _number('SLURM_STEP_NUM_TASKS') > 1 and 'SLURM_PROCID' in env,
    'Open MPI': _number('OMPI_COMM_WORLD_SIZE') > 1,
    'Kubernetes': 'JOB_COMPLETION_INDEX' in env
    and importlib.util.find_spec('kubernetes') is not None,
    'TPU': has_tpu
    and importlib.util.find_spec('libtpu') is not None
    and env.get('JAX_PLATFORMS', 'tpu').startswith('tpu'),
  }


def _may_use_all_devices() -> bool:
  """Whether no other process of this host has a part of its devices."""
  return not (
    _number('SLURM_STEP_NUM_TASKS') > _number('SLURM_STEP_NUM_NODES')
    or _number('OMPI_COMM_WORLD_LOCAL_SIZE') > 1
    or 'JAX_LOCAL_DEVICE_IDS' in os.environ
  )


def initialize(
  coordinator_address: str | None,
  num_processes: int | None,
  process_id: int | None,
) -> None:
  """Joins the other processes, if there are any; before JAX is used.

  Args:
    coordinator_address: 'host:port' of process 0, or None to look for Slurm,
      Open MPI, TPU hosts or, with its package, Kubernetes in the environment.
    num_processes: how many there are.
    process_id: which one this is, from 0.

  Raises:
    ConfigError: if only some of them are given, or they do not fit.
    DataDietError: if the others cannot be reached.
  """
  given = (coordinator_address, num_processes, process_id)
  if any(value is not None for value in given):
    _check(*given)
  elif not any(_clusters().values()):
    return
  try:
    jax.distributed.initialize(
      *given,
      # By itself, JAX gives each task of Slurm and Open MPI one GPU.
      local_device_ids=[] if _may_use_all_devices() else None,
      heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
      initialization_timeout=_JOIN_SECONDS,
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


def is_first() -> bool:
  """Whether this process writes what is written once."""
  return jax.process_index() == 0


def decide(function: Callable[[], Value]) -> Value:
  """Calls a function on process 0 and gives its value to all processes.

  Args:
    function: what JSON can hold comes from it; lists stay lists.
  """
  if jax.process_count() == 1:
    return function()
  content = json.dumps(function()).encode() if is_first() else b''
  size = int(multihost_utils.broadcast_one_to_all(np.int32(len(content))))
  # Few sizes, so that few programs are compiled.
  buffer = np.zeros(max(256, 1 << size.bit_length()), np.uint8)
  buffer[: len(content)] = np.frombuffer(content, np.uint8)
  buffer = np.asarray(multihost_utils.broadcast_one_to_all(buffer))
  return json.loads(buffer[:size].tobytes())


def barrier(name: str) -> None:
  """Waits until all processes are here."""
  if jax.process_count() > 1:
    multihost_utils.sync_global_devices(name)


def stop_if_any_is_asked_to() -> None:
  """For places where nothing is unsaved; waits for all processes.

  Raises:
    Preempted: in all of them, if at least one was asked to stop.
  """
  if any_process(stopping.stop_requested()):
    raise Preempted


def any_process(value: bool) -> bool:
  """Whether the value is true in at least one process; waits for all."""
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
  value = function() if is_leader else None
  barrier('read once a host')
  return value if is_leader else function()


def has_peers() -> bool:
  """Whether there are other processes."""
  return _store() is not None


def _store() -> Any:
  """What all processes can write to and read from; None with one process.

  Unlike everything else here it needs no device, and no other process to come.
  """
  state = jax_distributed.global_state
  return state.client if (state.num_processes or 1) > 1 else None


def _own_number() -> str:
  return str(jax_distributed.global_state.process_id)


def say_stopped() -> None:
  """Tells the others that this process ends at once, as it was asked to.

  They would wait for it, and take it for a failure after half a minute. If all
  are ending already, it does not come back.
  """
  store = _store()
  if store is None:
    return
  _parting.acquire()
  try:
    store.key_value_set(_STOPPED, _own_number(), allow_overwrite=True)
  except jax.errors.JaxRuntimeError as error:  # All are going.
    logging.debug('Nobody to tell: %s', error)
    return
  part()


# Of the thread that ends this process; any other that wants to waits for that.
_parting = threading.RLock()


def part(
  save: Callable[[], None] = lambda: None, patience: float = _HEAR_SECONDS
) -> None:
  """Stays until no process needs this one any more.

  Every end but that by an error comes through here, so that all meet, however
  each has come to it. Only in the first thread that calls it does it return:
  to end the process.

  Args:
    save: called once all know that they stop; this process ends after it.
    patience: seconds to wait for that.
  """
  _parting.acquire()
  _meet('heard', patience)
  save()
  if _meet('saved', _SAVE_SECONDS):
    _leave_store()
  elif _own_number() == '0':
    time.sleep(_LAST_SECONDS)


def _meet(name: str, seconds: float) -> bool:
  """Waits until all processes are here, without their devices."""
  try:
    _store().wait_at_barrier(f'datadiet/{name}', round(1000 * seconds))
  except jax.errors.JaxRuntimeError as error:  # Some are gone.
    logging.debug('Not all met: %s', error)
    return False
  return True


def _leave_store() -> None:
  """Waits until all leave the store, which goes with process 0.

  A process that is still there when it goes is ended by JAX, as failed.
  """
  state = jax_distributed.global_state
  try:
    if state.preemption_sync_manager is not None:  # It uses the client.
      state.preemption_sync_manager.shutdown()
    state.client.shutdown()
    if state.service is not None:
      state.service.shutdown()
  except jax.errors.JaxRuntimeError as error:
    logging.debug('Left alone: %s', error)


def others_stopped() -> bool:
  """Whether another process has said that it ends, as it was asked to."""
  store = _store()
  if store is None:
    return False
  try:
    return store.key_value_try_get(_STOPPED) != _own_number()
  except jax.errors.JaxRuntimeError:  # Nobody has, or the store is gone.
    return False


@contextmanager
def following_stops(
  follow: Callable[[Callable], None],
) -> Iterator[None]:
  """Within it, `follow` is called when another process says that it stops.

  Args:
    follow: ends this process; is given `part`.
  """
  ended = threading.Event()

  def listen() -> None:
    # Asks over and over: a thread in a call that waits cannot be ended.
    while not ended.wait(_LISTEN_SECONDS):
      if others_stopped():
        return follow(part)

  listener = threading.Thread(target=listen, name='stops', daemon=True)
  has_others = _store() is not None
  if has_others:
    listener.start()
  try:
    yield
  finally:
    ended.set()
    if has_others:
      listener.join()


def leave(code: int) -> int:
  """The exit code of a process that failed; with others it ends here.

  An ordinary exit would wait for the others, which wait for this one: it is
  noticed that it is gone, and they end too.
  """
  if not has_peers():
    return code
  try:
    # Any of them may be on a full disk, or have lost its reader.
    logging.get_absl_handler().flush()
    sys.stdout.flush()
    sys.stderr.flush()
  finally:
    os._exit(code)


def leave_together(code: int) -> int:
  """The exit code of a process that is done; with others all end here.

  For those that came to the end, and those that agreed to stop: others may be
  saving for long.
  """
  if has_peers():
    part(patience=_JOIN_SECONDS)
  return leave(code)
