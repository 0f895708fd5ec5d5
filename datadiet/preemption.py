"""Requests to stop: SIGTERM and SIGINT, answered at the next safe point."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from absl import logging

from datadiet.errors import Preempted

# sysexits' EX_TEMPFAIL: what launchers take for "start me again".
EXIT_CODE = 75

_requested = False


def stop_requested() -> bool:
  """Whether somebody asked this process to stop."""
  return _requested


def raise_if_requested() -> None:
  """For places where nothing has to be saved.

  Raises:
    Preempted: if somebody asked this process to stop.
  """
  if _requested:
    raise Preempted


@contextmanager
def handle_signals() -> Iterator[None]:
  """Within it, a first SIGTERM or SIGINT asks, a second one ends at once."""

  def request(number, frame):
    del frame
    global _requested
    if _requested:
      os._exit(EXIT_CODE)
    _requested = True
    logging.warning(
      'Got %s: saving, then stopping (a second one stops at once)',
      signal.Signals(number).name,
    )

  global _requested
  _requested = False
  previous = {
    number: signal.signal(number, request)
    for number in (signal.SIGTERM, signal.SIGINT)
  }
  try:
    yield
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)
