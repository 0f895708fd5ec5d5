"""The time that stages take, in timing.json, also where they are killed."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import jax
from absl import logging

from datadiet.errors import DataDietError, Preempted
from datadiet.runtime import processes
from datadiet.runtime.progress import format_seconds
from datadiet.stages.context import Context
from datadiet.workdir import artifacts

# Seconds between two writes: what a killed process loses of its time at most.
INTERVAL = 60.0
# `timed` writes from a thread of its own beside what the stage itself adds.
_lock = threading.Lock()


@contextmanager
def timed(context: Context, stage: str) -> Iterator[None]:
  """Adds the time of a block to the stage's in timing.json.

  It is written once an `INTERVAL` and at the end, so that stages which are
  killed and resumed have nearly all of it. After an error nothing more is
  written: the disk may be full, and a second error would hide the first.
  """
  start = saved = time.monotonic()
  ended = threading.Event()

  def save() -> None:
    nonlocal saved
    now = time.monotonic()
    _add_time(context, stage, now - saved)
    saved = now

  def save_often() -> None:
    while not ended.wait(INTERVAL):
      try:
        save()
      except (OSError, DataDietError) as error:
        # A full disk ends the stage itself; else the next write has this time.
        logging.warning('timing.json was not written: %s', error)

  thread = threading.Thread(target=save_often, name='timing', daemon=True)
  thread.start()
  completed = False
  try:
    yield
    completed = True
  except Preempted:
    completed = True
    raise
  finally:
    ended.set()
    thread.join()
    if completed:
      save()
  logging.info('Stage %s: %s', stage, format_seconds(time.monotonic() - start))


def read_timing(context: Context) -> dict[str, dict]:
  """Stage -> {'seconds': ..., 'device_seconds': ..., 'devices': ...}."""
  path = context.workdir.timing
  return artifacts.read_json(path) if path.exists() else {}


def devices() -> str:
  """The available devices, as timing.json names them."""
  return f'{jax.device_count()} × {jax.devices()[0].device_kind}'


def add_subset_time(
  context: Context, name: str, seconds: float, *, anew: bool = False
) -> None:
  """Adds the time that a draw took to that of its subset in timing.json.

  Args:
    context: of the workdir.
    name: of the subset.
    seconds: that the draw took.
    anew: whether it is the first of a subset made anew, whose time before does
      not count any more.
  """
  with _lock:
    timing = read_timing(context)
    times = _entry(timing, 'select').setdefault('subsets', {})
    times[name] = seconds if anew else times.get(name, 0.0) + seconds
    artifacts.write_json(context.workdir.timing, timing)


def _add_time(context: Context, stage: str, seconds: float) -> None:
  if not processes.is_lead():
    return
  with _lock:
    timing = read_timing(context)
    entry = _entry(timing, stage)
    entry['seconds'] += seconds
    entry['device_seconds'] += seconds * jax.device_count()
    entry['devices'] = devices()
    artifacts.write_json(context.workdir.timing, timing)


def _entry(timing: dict[str, dict], stage: str) -> dict:
  return timing.setdefault(stage, {'seconds': 0.0, 'device_seconds': 0.0})
