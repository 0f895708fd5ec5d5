"""Prepares what comes next while the devices compute."""

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

Item = TypeVar('Item')
# Seconds after which a waiting thread checks whether it should end.
_PATIENCE = 0.1


def prefetched(
  items: Iterator[Item], depth: int = 2
) -> Generator[Item, None, None]:
  """The same items in the same order, computed ahead in another thread.

  Args:
    items: whose items take time to make, such as batches gathered from a
      memory-mapped file; used by the thread alone.
    depth: how many finished items may wait.

  Yields:
    The items; an error in making one is raised in its place.
  """
  finished: queue.Queue = queue.Queue(depth)
  unwanted = threading.Event()

  def put(entry) -> None:
    while not unwanted.is_set():
      try:
        finished.put(entry, timeout=_PATIENCE)
        return
      except queue.Full:
        continue

  def work() -> None:
    try:
      for item in items:
        put((item, None))
        if unwanted.is_set():
          return
    except BaseException as error:
      put((None, error))
    else:
      put(None)

  thread = threading.Thread(target=work, name='prefetch', daemon=True)
  thread.start()
  try:
    while (entry := finished.get()) is not None:
      item, error = entry
      if error is not None:
        raise error
      yield item
  finally:
    unwanted.set()
    thread.join()
