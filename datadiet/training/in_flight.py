"""What the devices still have to do, kept short, and requests to stop."""

import collections
import time

import jax

from datadiet.runtime import mesh as mesh_lib
from datadiet.runtime import processes, stopping

# Dispatches that wait on the devices where each is done soon: enough to keep
# them busy.
_MOST = 2
# A dispatch that takes longer is waited for before the next, since a stop has
# to wait for all of them; then the host's own work hardly counts.
_SLOW_SECONDS = 0.3
# Dispatches that are waited for at first, to see how long they take.
_NUM_TIMED = 4


class InFlight:
  """Dispatches that the host has not waited for yet.

  There are so few of them that a request to stop is answered soon. Of several
  processes each says whether it was asked; they learn of each other with the
  dispatch, and so all stop after the same one.
  """

  def __init__(self, run_mesh: mesh_lib.RunMesh):
    """Nothing is in flight yet."""
    self._run_mesh = run_mesh
    self._limit = 0
    self._waiting: collections.deque = collections.deque()
    self._ends: list[float] = []

  def add(self, output: jax.Array) -> bool:
    """Notes a dispatch, and waits for older ones, or for itself.

    Args:
      output: of the dispatch; of memory that no later one takes.

    Returns:
      Whether some process was asked to stop; the same on all of them.
    """
    if not self._limit:
      output.block_until_ready()
    if len(self._ends) < _NUM_TIMED:
      self._measure()
    asked = self._run_mesh.in_any_process(stopping.stop_requested())
    self._waiting.append((output, asked))
    if asked is True or len(self._waiting) <= self._limit:
      return asked is True
    output, asked = self._waiting.popleft()
    output.block_until_ready()
    return bool(asked)

  def _measure(self) -> None:
    """Notes the end of one of the first dispatches; in the end decides."""
    self._ends.append(time.monotonic())
    if len(self._ends) == _NUM_TIMED:
      pairs = zip(self._ends, self._ends[1:])
      shortest = min(end - before for before, end in pairs)
      is_slow = processes.broadcast_from_lead(lambda: shortest > _SLOW_SECONDS)
      self._limit = 0 if is_slow else _MOST
