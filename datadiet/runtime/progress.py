"""Progress of long work: a bar on a terminal, otherwise some log lines."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from absl import logging

# Seconds between two log lines where there is no terminal.
LOG_INTERVAL = 10.0


class Progress:
  """Counts finished units of work and shows rate and time left."""

  def __init__(self, name: str, total: int, unit: str, initial: int = 0):
    """Starts counting.

    Args:
      name: what is being done, for a person.
      total: units in all.
      unit: what is counted, in the plural, such as 'images'.
      initial: units done before, which do not count for the rate.
    """
    self._name, self._total, self._unit = name, total, unit
    self._initial = self._done = initial
    self._start = self._last_line = time.monotonic()
    # The units done and the time from which the rate is measured.
    self._since: tuple[int, float] | None = None
    self._bar = None
    if sys.stderr.isatty():
      import tqdm  # Nothing else needs it.

      self._bar = tqdm.tqdm(
        desc=name,
        total=total,
        initial=initial,
        unit=f' {unit}',
        unit_scale=True,
        leave=False,
        dynamic_ncols=True,
      )

  def advance(self, num_units: int, note: str = '') -> None:
    """Adds finished units; `note` is shown beside them."""
    self._done += num_units
    now = time.monotonic()
    if self._since is None:
      # No line yet: the time left would be thought from that of compilation.
      self._since, self._last_line = (self._done, now), now
    if self._bar is not None:
      if note:
        self._bar.set_postfix_str(note, refresh=False)
      self._bar.update(num_units)
      return
    if now - self._last_line >= LOG_INTERVAL:
      self._last_line = now
      logging.info('%s', self.line(note))

  def line(self, note: str = '') -> str:
    """One line with the units done, the rate, and the time left."""
    rate = self.rate
    left = (self._total - self._done) / rate if rate else float('inf')
    parts = [
      f'{self._name}: {self._done}/{self._total} {self._unit}',
      f'{rate:.1f} {self._unit}/s',
      f'{format_seconds(left)} left',
    ]
    return ', '.join([*parts, note] if note else parts)

  @property
  def done(self) -> int:
    """Units that are finished."""
    return self._done

  @property
  def rate(self) -> float:
    """Units per second, not counting the first, which includes compilation."""
    num, start = self._since or (self._initial, self._start)
    if self._done == num:
      num, start = self._initial, self._start
    elapsed = time.monotonic() - start
    return (self._done - num) / elapsed if elapsed > 0 else 0.0

  def close(self) -> None:
    """Removes the bar."""
    if self._bar is not None:
      self._bar.close()


@contextmanager
def progress(
  name: str, total: int, unit: str, initial: int = 0
) -> Iterator[Progress]:
  """A `Progress` that is closed at the end of the block."""
  shown = Progress(name, total, unit, initial)
  try:
    yield shown
  finally:
    shown.close()


def format_seconds(seconds: float) -> str:
  """'42 s', '3 min 10 s', '2 h 5 min'; 'unknown time' for infinity."""
  if seconds == float('inf'):
    return 'unknown time'
  whole = round(seconds)
  if whole < 60:
    return f'{whole} s'
  if whole < 3600:
    return f'{whole // 60} min {whole % 60} s'
  return f'{whole // 3600} h {whole % 3600 // 60} min'
