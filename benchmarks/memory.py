"""Peak memory in use while something runs, on the device or in the process."""

import jax


class Peak:
  """Measures `bytes`, by which memory in use rose at most inside `with`.

  Device memory where the backend counts it (its peak cannot be set back: use a
  fresh process for each measurement), else resident memory of this process,
  which Linux counts (proc(5), VmHWM).
  """

  def __init__(self):
    self.bytes = 0
    self._start = 0

  def __enter__(self) -> 'Peak':
    if jax.local_devices()[0].memory_stats():
      self._start = jax.local_devices()[0].memory_stats()['bytes_in_use']
    else:
      with open('/proc/self/clear_refs', 'w') as file:
        file.write('5')  # VmHWM starts again from VmRSS.
      self._start = _resident('VmRSS')
    return self

  def __exit__(self, *exception) -> None:
    stats = jax.local_devices()[0].memory_stats()
    end = stats['peak_bytes_in_use'] if stats else _resident('VmHWM')
    self.bytes = end - self._start


def _resident(field: str) -> int:
  with open('/proc/self/status') as file:
    for line in file:
      if line.startswith(field + ':'):
        return int(line.split()[1]) * 1024
  raise RuntimeError(f'/proc/self/status has no {field}.')
