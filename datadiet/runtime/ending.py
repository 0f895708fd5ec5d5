"""Every way in which the program ends: done, failed, stopped, with peers.

An ordinary exit would wait for the other processes, which wait for this one; so
where there are peers all that end meet first, without their devices, and leave.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import jax
from absl import flags, logging

from datadiet.errors import (
  EXIT_FAILED,
  EXIT_STOPPED,
  ConfigError,
  DataDietError,
  Preempted,
  report,
)
from datadiet.runtime import processes, stopping

_STOPPED = 'datadiet/stopped'
_LISTEN_SECONDS = 0.5
# How long a stopping process waits for the others: to learn of the stop, before
# they take its absence for a failure, and to save.
_HEAR_SECONDS = 10.0
_SAVE_SECONDS = 15.0
# The store ends with the lead process, so where the processes have not met, the
# lead process stays for this long after.
_LAST_SECONDS = 1.0


def run_to_end(work: Callable[[], None]) -> int:
  """Runs the program of all processes, and ends them together.

  Args:
    work: raises `Preempted` if it was stopped and everything is saved.

  Returns:
    The exit code of a process without peers; with peers this never returns.
  """
  with (
    stopping.handle_signals(tell_peers_stopped),
    following_peers(stopping.follow_peers),
  ):
    try:
      work()
    except Preempted:
      logging.info('Stopped; run the same command again to resume')
      exit_together(EXIT_STOPPED)
      # An ordinary exit of all imported libraries would take seconds more.
      sys.stdout.flush()
      stopping.end_at_once()
    return exit_together(0)


def guarded(
  program: Callable[[list[str]], int],
  explain: Callable[[Exception], DataDietError | None],
) -> Callable[[list[str]], int]:
  """Wraps a program: errors end all processes; the user's are one line.

  Args:
    program: takes the arguments that are no flags, returns the exit code.
    explain: the sentence for the user behind a library's error, or None.
  """

  def run(argv: list[str]) -> int:
    try:
      return program(argv)
    except Exception as error:
      told = error if isinstance(error, DataDietError) else explain(error)
      if told is not None:
        logging.debug('Where it came from:', exc_info=True)
        return exit_with(report(told))
      if not processes.has_peers():
        raise
      if stopping.stop_requested() or peers_stopped():
        logging.info('Stopped, as the other processes were', exc_info=True)
        if peers_stopped():
          wait_for_peers()
        return exit_with(EXIT_STOPPED)
      logging.exception('Failed')
      return exit_with(EXIT_FAILED)

  return run


def parse_or_exit(
  parse: Callable[[Sequence[str]], list[str]],
) -> Callable[[Sequence[str]], list[str]]:
  """A parser of flags, for `app.run`, that ends the program if one is wrong.

  Args:
    parse: takes the command line with the program's name, returns what is no
      flag; raises `ConfigError` or absl's own error for a wrong one, which is
      said in one line.
  """

  def parse_flags(argv: Sequence[str]) -> list[str]:
    try:
      return parse(argv)
    except (ConfigError, flags.Error) as error:
      sys.exit(report(ConfigError(' '.join(str(error).split()))))

  return parse_flags


def tell_peers_stopped() -> None:
  """Tells the other processes that this one was asked to stop and ends now.

  Otherwise they would wait for it and report a failure after half a minute.
  Does not return where all processes are ending already.
  """
  store = processes.store()
  if store is None:
    return
  _parting.acquire()
  try:
    store.key_value_set(_STOPPED, processes.own_number(), allow_overwrite=True)
  except jax.errors.JaxRuntimeError as error:  # All are going.
    logging.debug('Nobody to tell: %s', error)
    return
  wait_for_peers()


# Held forever by the thread that ends this process.
_parting = threading.RLock()


def wait_for_peers(
  save: Callable[[], None] = lambda: None, patience: float = _HEAR_SECONDS
) -> None:
  """Waits until the other processes can do without this one.

  Every end but a failure comes through here, so that all processes meet, for
  whatever reason each of them ends. Returns in the first thread that calls it,
  which then ends the process; any other thread waits here.

  Args:
    save: called once all processes know of the stop; then this one ends.
    patience: seconds to wait for the others.
  """
  _parting.acquire()
  _meet('heard', patience)
  save()
  if _meet('saved', _SAVE_SECONDS):
    _leave_store()
  elif processes.own_number() == '0':
    time.sleep(_LAST_SECONDS)


def _meet(name: str, seconds: float) -> bool:
  """A barrier that needs no devices."""
  try:
    processes.store().wait_at_barrier(f'datadiet/{name}', round(1000 * seconds))
  except jax.errors.JaxRuntimeError as error:  # Some are gone.
    logging.debug('Not all met: %s', error)
    return False
  return True


def _leave_store() -> None:
  """Waits until all leave the store, which ends with the lead process.

  JAX ends a process that is still connected then, as failed.
  """
  state = processes.global_state()
  try:
    if state.preemption_sync_manager is not None:  # It uses the client.
      state.preemption_sync_manager.shutdown()
    state.client.shutdown()
    if state.service is not None:
      state.service.shutdown()
  except jax.errors.JaxRuntimeError as error:
    logging.debug('Left alone: %s', error)


def peers_stopped() -> bool:
  """Whether another process has announced that it was asked to stop."""
  store = processes.store()
  if store is None:
    return False
  try:
    return store.key_value_try_get(_STOPPED) != processes.own_number()
  except jax.errors.JaxRuntimeError:  # No process has, or the store is gone.
    return False


@contextmanager
def following_peers(
  follow: Callable[[Callable], None],
) -> Iterator[None]:
  """A context in which `follow` is called when another process stops.

  Args:
    follow: ends this process; is given `wait_for_peers`.
  """
  ended = threading.Event()

  def listen() -> None:
    # Polls: a thread in a blocking call could not be ended.
    while not ended.wait(_LISTEN_SECONDS):
      if peers_stopped():
        return follow(wait_for_peers)

  listener = threading.Thread(target=listen, name='stops', daemon=True)
  has_others = processes.store() is not None
  if has_others:
    listener.start()
  try:
    yield
  finally:
    ended.set()
    if has_others:
      listener.join()


def exit_with(code: int) -> int:
  """The exit code of a process that failed; with peers the process ends here.

  An ordinary exit would wait for the others, which wait for this one; instead
  they notice that it is gone, and end too.
  """
  if not processes.has_peers():
    return code
  try:
    # Any stream may be on a full disk, or have lost its reader.
    logging.get_absl_handler().flush()
    sys.stdout.flush()
    sys.stderr.flush()
  finally:
    os._exit(code)


def exit_together(code: int) -> int:
  """The exit code of a process that is done; with peers all end here.

  For processes that finished or agreed to stop: others may still be saving.
  """
  if processes.has_peers():
    wait_for_peers(patience=processes.join_seconds())
  return exit_with(code)
