"""Worker processes that decode images in parallel."""

import os
import pickle
import queue
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any

from datadiet.data import decode_worker
from datadiet.errors import DataDietError


@contextmanager
def decoders(num_workers: int) -> Iterator[Callable]:
  """A thread-safe `decode_chunk` that spreads calls over worker processes."""
  if num_workers == 1:
    yield decode_worker.decode_chunk
    return
  # Threads of linear algebra libraries would only take memory there.
  environment = {**os.environ, 'OPENBLAS_NUM_THREADS': '1'}
  workers: list[subprocess.Popen[bytes]] = []
  free: queue.SimpleQueue[subprocess.Popen[bytes]] = queue.SimpleQueue()

  def decode_chunk(*request: Any) -> Any:
    worker = free.get()
    stdin, stdout = _pipes(worker)
    try:
      pickle.dump(request, stdin, pickle.HIGHEST_PROTOCOL)
      stdin.flush()
      return pickle.load(stdout)
    except (OSError, EOFError, pickle.UnpicklingError) as error:
      raise DataDietError(
        'a process that decodes images ended unexpectedly (exit code '
        f'{worker.poll()}); the machine may be out of memory'
      ) from error
    finally:
      free.put(worker)

  try:
    for _ in range(num_workers):
      # -P: this folder must not hide modules of the standard library.
      worker = subprocess.Popen(
        [sys.executable, '-P', decode_worker.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
      )
      workers.append(worker)
      free.put(worker)
    yield decode_chunk
  finally:
    for worker in workers:
      worker.kill()
    for worker in workers:
      worker.wait()
      stdin, stdout = _pipes(worker)
      stdout.close()
      # Data still buffered for a dead worker is dropped.
      with suppress(BrokenPipeError):
        stdin.close()


def _pipes(worker: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
  """What a worker reads requests from, and what it writes its replies to."""
  assert worker.stdin is not None and worker.stdout is not None
  return worker.stdin, worker.stdout


def num_cores() -> int:
  """How many cores this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
