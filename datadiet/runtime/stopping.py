"""Requests to stop: SIGTERM and SIGINT, answered at the next safe point.

While there is work that is not saved, a request waits until the work is: see
`unsaved_work`. At other times, such as while compiling, reading data or writing
figures, it ends the process at once, also in the middle of native code.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from absl import logging

from datadiet.errors import EXIT_STOPPED, Preempted

# Seconds for saving when another process stops.
_PATIENCE = 10.0

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_requested = False
# Number of open `unsaved_work` blocks.
_num_unsaved = 0


def stop_requested() -> bool:
  """Whether this process was asked to stop."""
  return _requested


def raise_if_requested() -> None:
  """Raises if a stop was requested; call it with nothing unsaved.

  Raises:
    Preempted: if this process was asked to stop.
  """
  if _requested:
    raise Preempted


@contextmanager
def unsaved_work() -> Iterator[None]:
  """A context in which a request to stop waits until the code checks it."""
  global _num_unsaved
  _num_unsaved += 1
  try:
    yield
  finally:
    _num_unsaved -= 1


def end_at_once() -> None:
  """Ends this process with `EXIT_STOPPED`, without any clean-up."""
  # Not sys.exit: another thread may be in native code.
  try:
    logging.get_absl_handler().flush()
    sys.stderr.flush()
  finally:  # Also if the log's stream is full or closed.
    os._exit(EXIT_STOPPED)


def _say(message: str) -> None:
  """Writes a line without Python's locks, which another thread may hold."""
  with suppress(OSError):
    os.write(2, f'{message}\n'.encode())


def follow_peers(wait_for_peers: Callable[[Callable[[], None]], None]) -> None:
  """Ends this process because another process was asked to stop and ends.

  A save in progress has some seconds left; nothing that needs all processes is
  possible any more. This does not count as a signal: the first one that arrives
  meanwhile does not end this process at once.

  Args:
    wait_for_peers: waits for them, and calls the function that it is given.
  """
  global _requested
  _requested = True
  try:
    wait_for_peers(_wait_until_saved)
    _say('Another process was stopped, and so is this one')
  finally:
    end_at_once()


def _wait_until_saved() -> None:
  deadline = time.monotonic() + _PATIENCE
  while _num_unsaved and time.monotonic() < deadline:
    time.sleep(0.05)


def _watch(wakeup: int, tell_others: Callable[[], None]) -> None:
  """Ends the process where no other code would handle a signal in time.

  Python calls handlers between two of its own instructions, which a long call
  into native code delays; the signal's number arrives here at once.
  """

  def end() -> None:
    try:
      tell_others()
    finally:
      end_at_once()

  num_seen = 0
  while content := os.read(wakeup, 1):
    if content[0] not in _SIGNALS:
      continue
    num_seen += 1
    if num_seen > 1:
      end_at_once()
    if not _num_unsaved:
      _say(
        f'Got {signal.Signals(content[0]).name}: stopped, nothing had to be '
        'saved; run the same command again to resume'
      )
      # In another thread: telling the peers may block, and a second signal may
      # come.
      threading.Thread(target=end, name='end', daemon=True).start()


@contextmanager
def handle_signals(
  tell_others: Callable[[], None] = lambda: None,
) -> Iterator[None]:
  """A context in which SIGTERM and SIGINT request a stop; the second ends now.

  Args:
    tell_others: called before the process ends, if nothing is unsaved.
  """

  num_signals = 0

  def request(number, frame):
    del frame
    global _requested
    nonlocal num_signals
    num_signals += 1
    if num_signals > 1:
      end_at_once()
    _requested = True
    logging.warning(
      'Got %s: saving, then stopping (a second one stops at once)',
      signal.Signals(number).name,
    )

  global _requested
  _requested = False
  read_end, write_end = os.pipe()
  os.set_blocking(write_end, False)
  previous = {number: signal.signal(number, request) for number in _SIGNALS}
  previous_wakeup = signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
  watcher = threading.Thread(
    target=_watch, args=(read_end, tell_others), name='signals', daemon=True
  )
  watcher.start()
  try:
    yield
  finally:
    signal.set_wakeup_fd(previous_wakeup)
    for number, handler in previous.items():
      signal.signal(number, handler)
    os.close(write_end)  # Ends the watcher thread.
    watcher.join()
    os.close(read_end)
