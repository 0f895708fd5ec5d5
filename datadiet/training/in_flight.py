"""Limits how far the host runs ahead, and checks for requests to stop."""

import collections
import time

import jax

from datadiet.runtime import mesh as mesh_lib
from datadiet.runtime import processes, stopping

# Dispatches queued on the devices where each is short: enough to keep the
# devices busy.
_MOST = 2
# A dispatch that takes longer is waited for before the next, since a stop has
# to wait for all dispatches in flight; the host's time hardly matters then.
_SLOW_SECONDS = 0.3
# Number of dispatches that are waited for at first, to time them.
_NUM_TIMED = 4


class InFlight:
  """Dispatches that the host has not waited for yet.

  They are few, so that a request to stop is answered soon. Each process sends
  with every dispatch whether it was asked to stop, so that all processes stop
  after the same dispatch.
  """

  def __init__(self, run_mesh: mesh_lib.RunMesh):
    """Starts without any dispatch."""
    self._run_mesh = run_mesh
    self._limit = 0
    self._waiting: collections.deque = collections.deque()
    self._ends: list[float] = []

  def add(self, output: jax.Array) -> bool:
    """Adds a dispatch; waits for older ones, or for this one if it is long.

    Args:
      output: an output of the dispatch that is donated to no later one.

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
    """Times one of the first dispatches; after the last, chooses the limit."""
    self._ends.append(time.monotonic())
    if len(self._ends) == _NUM_TIMED:
      pairs = zip(self._ends, self._ends[1:])
      shortest = min(end - before for before, end in pairs)
      is_slow = processes.broadcast_from_lead(lambda: shortest > _SLOW_SECONDS)
      self._limit = 0 if is_slow else _MOST
