"""Worker processes that decode images in parallel."""

import mmap
import os
import pickle
import queue
import resource
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from datadiet.decoders import worker
from datadiet.errors import DataDietError

# Seconds that a process which closed its pipes has to end.
_PATIENCE = 5
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
  ends = threading.Event()

  def decode_chunk(*request: Any) -> tuple:
    one = free.get()
    try:
      return one.decode_chunk(*request)
    finally:
      # At the end all are killed, and none is to come after them.
      if one.has_ended and not ends.is_set():
        one.close()
        workers.remove(one)
        one = _Worker()
        workers.append(one)
      free.put(one)

  try:
    for _ in range(num_workers):
      workers.append(_Worker())
      free.put(workers[-1])
    yield decode_chunk
  finally:
    ends.set()
    for one in workers:
      one.kill()
    for one in workers:
      one.close()


class _Worker:
  """A process that decodes, and a file by which pixels and contents pass.

  Through a pipe they would be copied four times.
  """

  def __init__(self) -> None:
    self._shared = _shared_file()
    self._memory = np.empty(0, np.uint8)
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

  def decode_chunk(
    self, images: np.ndarray, contents: Sequence[str | bytes], *options: Any
  ) -> tuple:
    """As `worker.decode_chunk`, for one thread at a time."""
    asked = [one if isinstance(one, str) else len(one) for one in contents]
    encoded = [one for one in contents if isinstance(one, bytes)]
    end = images.nbytes
    self._share(end + sum(map(len, encoded)))
    for one in encoded:
      self._memory[end : end + len(one)] = memoryview(one)
      end += len(one)
    stdin, stdout = self._process.stdin, self._process.stdout
    assert stdin is not None and stdout is not None
    try:
      request = (images.shape, asked, *options)
      pickle.dump(request, stdin, pickle.HIGHEST_PROTOCOL)
      stdin.flush()
      found = pickle.load(stdout)
    except (OSError, EOFError, pickle.UnpicklingError) as error:
      raise DataDietError(
        'a process that decodes images ended unexpectedly (exit code '
        f'{self._exit_code()}); the machine may be out of memory'
      ) from error
    images[:] = self._memory[: images.nbytes].reshape(images.shape)
    return found

  def _share(self, num_bytes: int) -> None:
    """Makes the file so large at least."""
    if len(self._memory) >= num_bytes:
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
    self._memory = np.frombuffer(memory, np.uint8)

  def _exit_code(self) -> int:
    """Of a process whose pipes are closed, which it does not know at once."""
    try:
      return self._process.wait(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
      self.kill()
      return self._process.wait()

  @property
  def has_ended(self) -> bool:
    """Whether the process is gone, as one that was killed for its memory."""
    return self._process.poll() is not None

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
