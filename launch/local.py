"""Runs an experiment as several processes on this machine, to try that out.

    python launch/local.py --num_processes=2 --devices_per_process=4 -- \
        --config=configs/cnn_digits.py --workdir=DIR

Each process gets virtual CPU devices; together they form one mesh, as on
several hosts. Their lines are prefixed by the process's number. SIGTERM and
SIGINT are passed on to all. When one fails, the others are ended. Exit codes
are those of datadiet.main: 0 done, 75 stopped with everything saved, 2 a wrong
setting, any other an error.
"""

import argparse
import collections
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from datadiet.errors import EXIT_STOPPED, EXIT_WRONG_SETTING
from datadiet.workdir import storage

_REPOSITORY = Path(__file__).resolve().parents[1]
# How often --until_done starts again after errors, and how many ends in a row
# without a new file it takes: after an error, after a preemption.
_MAX_ERRORS = 3
_MAX_IDLE = {False: 1, True: 10}


def parse_arguments(arguments: list[str]) -> argparse.Namespace:
  """Splits the command line at '--'; what follows is for datadiet.main."""
  parser = argparse.ArgumentParser(
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    usage='%(prog)s [options] -- --config=... --workdir=... [overrides]',
  )
  parser.add_argument('--num_processes', type=int, default=2)
  parser.add_argument('--devices_per_process', type=int, default=4)
  parser.add_argument(
    '--until_done',
    action='store_true',
    help='start again after a preemption or an error, while it gets on',
  )
  parser.add_argument(
    '--grace_seconds',
    type=float,
    default=20.0,
    help='between SIGTERM and SIGKILL, for the others when one has failed',
  )
  parser.add_argument(
    '--dry_run', action='store_true', help='print the commands'
  )
  split = arguments.index('--') if '--' in arguments else len(arguments)
  options = parser.parse_args(arguments[:split])
  options.program = arguments[split + 1 :]
  for name in ('num_processes', 'devices_per_process'):
    if getattr(options, name) < 1:
      parser.error(f'--{name} is at least 1')
  options.workdir = next(
    (
      argument.partition('=')[2]
      for argument in options.program
      if argument.startswith('--workdir=')
    ),
    None,
  )
  if not options.workdir:
    parser.error('--workdir=... is missing after --')
  return options


def free_port() -> int:
  """A TCP port of this machine that nobody listens on."""
  with socket.socket() as listener:
    listener.bind(('localhost', 0))
    return listener.getsockname()[1]


def command_of(options: argparse.Namespace, index: int, port: int) -> list[str]:
  """The command of process `index`."""
  command = [sys.executable, '-m', 'datadiet.main', *options.program]
  if options.num_processes > 1:
    command += [
      f'--coordinator_address=localhost:{port}',
      f'--num_processes={options.num_processes}',
      f'--process_id={index}',
    ]
  return command


def environment_of(options: argparse.Namespace) -> dict[str, str]:
  """This environment, with virtual CPU devices and the repository's code."""
  environment = dict(os.environ)
  environment.setdefault('JAX_PLATFORMS', 'cpu')
  environment['XLA_FLAGS'] = ' '.join(
    [
      os.environ.get('XLA_FLAGS', ''),
      f'--xla_force_host_platform_device_count={options.devices_per_process}',
    ]
  ).strip()
  environment['PYTHONPATH'] = os.pathsep.join(
    [str(_REPOSITORY), *filter(None, [os.environ.get('PYTHONPATH')])]
  )
  environment['PYTHONUNBUFFERED'] = '1'
  return environment


class Group:
  """The processes of one start, each the leader of a process group."""

  def __init__(self, commands: list[list[str]], environment: dict[str, str]):
    self._last_lines = [collections.deque(maxlen=10) for _ in commands]
    self._passed_on = set()
    self._processes = [
      subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors='replace',
        # Ctrl-C reaches this launcher alone, which passes it on once.
        start_new_session=True,
      )
      for command in commands
    ]
    self._readers = [
      threading.Thread(target=self._read, args=(index,), daemon=True)
      for index in range(len(commands))
    ]
    for reader in self._readers:
      reader.start()

  def _read(self, index: int) -> None:
    for line in self._processes[index].stdout:
      self._last_lines[index].append(line)
      print(f'[{index}] {line}', end='', flush=True)

  def send(self, number: int) -> None:
    """Sends a signal to those that still run."""
    for process in self._processes:
      if process.poll() is None:
        process.send_signal(number)

  def pass_on(self, number: int) -> None:
    """Sends a signal that this launcher got."""
    self._passed_on.add(number)
    self.send(number)

  def wait(self, grace_seconds: float) -> int:
    """Waits for all; ends the rest when one has failed.

    Args:
      grace_seconds: between SIGTERM and SIGKILL, for those that are left when
        one has failed. Those left when one was preempted, which may still be
        saving, have three times as long until they get the SIGTERM.

    Returns:
      The exit code of all together.
    """
    first = None  # The first that did not end well.
    while any(process.poll() is None for process in self._processes):
      time.sleep(0.05)
      if first is None:
        codes = [self._code_of(process) for process in self._processes]
        first = next((i for i, code in enumerate(codes) if code), None)
        if first is None:
          continue
        patience = 3 * grace_seconds if codes[first] == EXIT_STOPPED else 0
        deadline = time.monotonic() + patience
        signals = iter((signal.SIGTERM, signal.SIGKILL))
      elif time.monotonic() > deadline:
        self.send(next(signals, signal.SIGKILL))
        deadline = time.monotonic() + grace_seconds
    for reader in self._readers:
      reader.join(timeout=5)
    return self._summarise(first)

  def _code_of(self, process: subprocess.Popen) -> int | None:
    """The exit code; None while it runs; shells', not Python's, for signals."""
    code = process.poll()
    if code is None or code >= 0:
      return code
    # It ended before it could take the signal, and had nothing to save.
    return EXIT_STOPPED if -code in self._passed_on else 128 - code

  def _summarise(self, first: int | None) -> int:
    """The exit code of all; shows the last lines of what failed first."""
    codes = [self._code_of(process) for process in self._processes]
    failed = [
      i for i, code in enumerate(codes) if code not in (0, EXIT_STOPPED)
    ]
    if not failed:
      return max(codes)
    index = first if first in failed else failed[0]
    _say(f'process {index} failed with exit code {codes[index]}:')
    for line in self._last_lines[index]:
      print(f'[{index}] {line}', end='', file=sys.stderr)
    return codes[index]


class Launcher:
  """Starts a group, and again as long as that is asked for and helps."""

  def __init__(self, options: argparse.Namespace):
    self._options = options
    self._group = None
    self._stopping = False

  def _on_signal(self, number, frame):
    del frame
    self._stopping = True
    if self._group is not None:
      self._group.pass_on(number)

  def run(self) -> int:
    """Runs to the end; returns the exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
      signal.signal(number, self._on_signal)
    errors = idle = 0
    files = None
    while not self._stopping:
      code = self._run_once()
      if (
        not self._options.until_done
        or self._stopping
        or code in (0, EXIT_WRONG_SETTING)
      ):
        return code
      preempted = code == EXIT_STOPPED
      errors += not preempted
      files, before = _list_files(self._options.workdir), files
      idle = idle + 1 if files == before else 0
      if errors > _MAX_ERRORS or idle >= _MAX_IDLE[preempted]:
        _say('it does not get on: giving up')
        return code
      _say(f'ended with exit code {code}; starting again')
    return EXIT_STOPPED

  def _run_once(self) -> int:
    port = free_port()
    commands = [
      command_of(self._options, index, port)
      for index in range(self._options.num_processes)
    ]
    self._group = Group(commands, environment_of(self._options))
    if self._stopping:  # Asked for while the group was being started.
      self._group.pass_on(signal.SIGTERM)
    return self._group.wait(self._options.grace_seconds)


def _list_files(workdir: str) -> list[str]:
  """The names of all results, without TensorBoard's, new at each start.

  Nor is the lock a result, which a killed program leaves.
  """
  return sorted(
    name
    for name in storage.files_below(workdir)
    if 'events.out.tfevents' not in name and not name.endswith('.lock')
  )


def _say(text: str) -> None:
  print(f'local.py: {text}', file=sys.stderr, flush=True)


def _print_commands(options: argparse.Namespace) -> None:
  environment = environment_of(options)
  port = free_port()
  names = ('JAX_PLATFORMS', 'XLA_FLAGS')
  settings = [f'{name}={shlex.quote(environment[name])}' for name in names]
  for index in range(options.num_processes):
    command = command_of(options, index, port)
    print(*settings, shlex.join(command))


def main(arguments: list[str]) -> int:
  """Runs the launcher; returns its exit code."""
  options = parse_arguments(arguments)
  if options.dry_run:
    _print_commands(options)
    return 0
  return Launcher(options).run()


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
