"""What the devices still have to do, kept short, and requests to stop."""

import collections

import jax

from datadiet import parallel, preemption


class InFlight:
  """Dispatches that the host has not waited for yet.

  No more than `parallel.max_in_flight` of them wait, so that a request to stop
  is answered soon. Of several processes each says whether it was asked; they
  learn of each other with the dispatch, and so all stop after the same one.
  """

  def __init__(self, run_mesh: parallel.RunMesh):
    """Nothing is in flight yet."""
    self._run_mesh = run_mesh
    self._limit = parallel.max_in_flight()
    self._waiting: collections.deque = collections.deque()

  def add(self, output: jax.Array) -> bool:
    """Notes a dispatch, and waits for older ones, or for itself.

    Args:
      output: of the dispatch; of memory that no later one takes.

    Returns:
      Whether some process was asked to stop; the same on all of them.
    """
    if not self._limit:
      output.block_until_ready()
    asked = self._run_mesh.in_any_process(preemption.stop_requested())
    self._waiting.append((output, asked))
    if asked is True or len(self._waiting) <= self._limit:
      return asked is True
    output, asked = self._waiting.popleft()
    output.block_until_ready()
    return bool(asked)
