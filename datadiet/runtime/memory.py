"""The memory of the host; without JAX, which reading data does not need."""

import os
from functools import cache


@cache
def host_memory() -> float:
  """Bytes of memory of this machine, or of the container it runs in."""
  try:
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
  except (AttributeError, OSError, ValueError):  # Not on every system.
    return float('inf')
  try:
    with open('/sys/fs/cgroup/memory.max') as file:
      limit = file.read().strip()
  except OSError:
    return memory
  return min(memory, int(limit)) if limit.isdigit() else memory
