"""Worker processes that decode images in parallel."""

import mmap
import os
import pickle
import queue
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from datadiet.decoders import worker
from datadiet.errors import DataDietError

# Takes the package from where it is here, whatever else is installed, and of it
# only what decodes: a worker starts in a fraction of a second.
_FOLDER = str(Path(__file__).parents[2])
_PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
import datadiet
del sys.path[0]
from datadiet.decoders.worker import serve
serve(int(sys.argv[2]))
"""
# Pipes, the file of pixels and its map, and files that are read for a worker;
# hosts of 200 cores would pass the usual limit of 1,024.
_FILES_A_WORKER, _OTHER_FILES = 8, 256
# How long a process whose pipes are closed is given to end.
_SECONDS_TO_END = 5


@contextmanager
def decoders(num_workers: int) -> Iterator[Callable]:
  """A thread-safe `decode_chunk` that spreads calls over worker processes.

  It takes and returns what `worker.decode_chunk` does.
  """
  if num_workers == 1:
    yield worker.decode_chunk
    return
  _allow_files(num_workers)
  workers: list[_Worker] = []
  free: queue.SimpleQueue[_Worker] = queue.SimpleQueue()

  def decode_chunk(*request: Any) -> tuple:
    one = free.get()
    try:
      return one.decode_chunk(*request)
    finally:
      free.put(one)

  try:
    for _ in range(num_workers):
      workers.append(_Worker())
      free.put(workers[-1])
    yield decode_chunk
  finally:
    for one in workers:
      one.kill()
    for one in workers:
      one.close()


class _Worker:
  """A process that decodes, and a file by which it hands over the pixels.

  Through a pipe they would be copied four times.
  """

  def __init__(self) -> None:
    self._shared = _shared_file()
    self._pixels = np.empty(0, np.uint8)
    number = self._shared.fileno()
    # -P: the folder we are in must not hide modules of the standard library.
    self._process = subprocess.Popen(
      [sys.executable, '-P', '-c', _PROGRAM, _FOLDER, str(number)],
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      # Threads of linear algebra libraries would only take memory there.
      env={**os.environ, 'OPENBLAS_NUM_THREADS': '1'},
      pass_fds=(number,),
    )

  def decode_chunk(self, images: np.ndarray, *request: Any) -> tuple:
    """As `worker.decode_chunk`, for one thread at a time."""
    num_bytes = images.nbytes
    stdin, stdout = self._process.stdin, self._process.stdout
    assert stdin is not None and stdout is not None
    self._share(num_bytes)
    try:
      asked = (images.shape, *request)
      pickle.dump(asked, stdin, pickle.HIGHEST_PROTOCOL)
      stdin.flush()
      found = pickle.load(stdout)
    except (OSError, EOFError, pickle.UnpicklingError) as error:
      # Its pipes close before its exit code is known.
      with suppress(subprocess.TimeoutExpired):
        self._process.wait(_SECONDS_TO_END)
      raise DataDietError(
        'a process that decodes images ended unexpectedly (exit code '
        f'{self._process.poll()}); the machine may be out of memory'
      ) from error
    images[:] = self._pixels[:num_bytes].reshape(images.shape)
    return found

  def _share(self, num_bytes: int) -> None:
    """Makes the file of pixels so large at least."""
    if len(self._pixels) >= num_bytes:
      return
    try:
      self._shared.truncate(num_bytes)
      memory = mmap.mmap(self._shared.fileno(), num_bytes)
    except OSError as error:
      raise DataDietError(
        f'{num_bytes / 1e6:.0f} MB of memory cannot be shared with a process '
        f'that decodes images ({error.strerror}); free memory, or allow this '
        'process more open files (ulimit -n)'
      ) from error
    self._pixels = np.frombuffer(memory, np.uint8)

  def kill(self) -> None:
    """Ends the process, without waiting for it."""
    self._process.kill()

  def close(self) -> None:
    """Waits for the end of the process and closes its files."""
    self._process.wait()
    assert self._process.stdin is not None
    assert self._process.stdout is not None
    self._process.stdout.close()
    # Data still buffered for a dead worker is dropped.
    with suppress(BrokenPipeError):
      self._process.stdin.close()
    self._shared.close()


def _shared_file() -> IO[bytes]:
  """A file without a name: in memory, where the system has and allows such."""
  try:
    return os.fdopen(os.memfd_create('pixels'), 'r+b')
  except (AttributeError, OSError):
    return tempfile.TemporaryFile()


def _allow_files(num_workers: int) -> None:
  """Raises the number of files that this process may open, if need be."""
  soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
  needed = _FILES_A_WORKER * num_workers + _OTHER_FILES
  if soft not in (hard, resource.RLIM_INFINITY) and soft < needed:
    most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def num_cores() -> int:
  """How many cores this process may use."""
  if hasattr(os, 'sched_getaffinity'):
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1
