"""Seconds from SIGTERM to the end of the program, in all that it does.

    python -m benchmarks.stop --workdir=DIR [--data_dir=DIR] [--phases=training]

Starts configs/resnet18_cifar10.py with one run, batches of 128 and few steps,
sends SIGTERM at a random moment while it compiles, trains, evaluates and
scores, and starts it again to see that it goes on. Prints one line a try; fails
when one takes too long. Phases have to be run in their order in one DIR.
"""

import argparse
import dataclasses
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from datadiet.errors import EXIT_STOPPED

_STEPS = 8
_MOST_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Phase:
  """When to send the signal, and how to see that nothing was lost.

  Attributes:
    begun: what the log says when the phase begins.
    score: the score that is asked for.
    delay: the signal comes at most so many seconds after that.
    goes_on: what the log of the next start says.
  """

  begun: str
  score: str
  delay: float
  goes_on: str


PHASES = {
  'compiling': Phase('Wave from step 0', 'el2n', 20, 'Wave from step 0'),
  'training': Phase('Dispatched step', 'el2n', 8, 'Resuming from step'),
  'evaluation': Phase(
    f'Evaluating at step {_STEPS}',
    'el2n',
    30,
    f'Resuming from step {_STEPS}',
  ),
  'scoring el2n': Phase('(el2n): ', 'el2n', 8, 'Resuming at example'),
  'scoring grand': Phase('(grand): ', 'grand', 8, 'Resuming at example'),
}


class Program:
  """One start of the program."""

  def __init__(self, workdir: Path, data_dir: str, score: str):
    self._log = workdir.with_name(f'{workdir.name}.log')
    settings = {
      'dataset.data_dir': data_dir,
      'train.num_runs': 1,
      'train.num_steps': _STEPS,
      'train.log_every_steps': 4,
      'score.names': score,
      'select.scores': score,
      'compilation_cache_dir': workdir.with_name(f'{workdir.name}.xla'),
    }
    command = [
      *(sys.executable, '-m', 'datadiet.main', '--verbosity=1'),
      *('--config=configs/resnet18_cifar10.py', f'--workdir={workdir}'),
      *(f'--config.{name}={value}' for name, value in settings.items()),
      '--stages=train,score',
    ]
    with self._log.open('w') as file:
      self.process = subprocess.Popen(command, stdout=file, stderr=file)

  def log(self) -> str:
    """What it has written."""
    return self._log.read_text()

  def wait_for(self, condition: Callable[[], bool]) -> bool:
    """Waits; False if the program ended before."""
    while not condition():
      if self.process.poll() is not None:
        return False
      time.sleep(0.01)
    return True

  def stop(self) -> tuple[float, float]:
    """Sends SIGTERM: seconds until it is gone, and of CPU time until then."""
    start, used = time.monotonic(), _cpu_seconds(self.process.pid)
    self.process.terminate()
    _, status, usage = os.wait4(self.process.pid, 0)
    self.process.returncode = os.waitstatus_to_exitcode(status)
    used = usage.ru_utime + usage.ru_stime - used
    return time.monotonic() - start, used


def _cpu_seconds(process_id: int) -> float:
  """What a process of Linux has used so far."""
  text = Path(f'/proc/{process_id}/stat').read_text()
  fields = text.rpartition(')')[2].split()
  return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')


def measure(
  phase: Phase, before: Phase | None, workdir: Path, data_dir: str
) -> tuple[float, float, float]:
  """One try: seconds from the phase's begin, to the end, of CPU time for that.

  Args:
    phase: when to send the signal.
    before: in which the start before was stopped: this one has to go on there.
    workdir: of all starts.
    data_dir: where CIFAR-10 lies.
  """
  program = Program(workdir, data_dir, phase.score)
  if not program.wait_for(lambda: phase.begun in program.log()):
    raise SystemExit(f'it never began:\n{program.log()[-3000:]}')
  if before is not None and before.goes_on not in program.log():
    raise SystemExit(f'it does not go on:\n{program.log()[-3000:]}')
  delay = random.uniform(0, phase.delay)
  time.sleep(delay)
  seconds, used = program.stop()
  if program.process.returncode != EXIT_STOPPED:
    raise SystemExit(f'it ended with {program.process.returncode}')
  return delay, seconds, used


def check_that_it_goes_on(phase: Phase, workdir: Path, data_dir: str) -> None:
  """Starts it once more, until the log says so; then ends it."""
  program = Program(workdir, data_dir, phase.score)
  goes_on = program.wait_for(lambda: phase.goes_on in program.log())
  program.process.kill()
  program.process.wait()
  if not goes_on:
    raise SystemExit(f'it does not go on:\n{program.log()[-3000:]}')


def main() -> None:
  """The command line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--workdir', type=Path, required=True)
  parser.add_argument('--data_dir', default='')
  parser.add_argument('--phases', default=','.join(PHASES))
  parser.add_argument('--tries', type=int, default=1)
  options = parser.parse_args()
  options.workdir.parent.mkdir(parents=True, exist_ok=True)
  where = options.workdir, options.data_dir
  before, slowest = None, 0.0
  for name in options.phases.split(','):
    phase = PHASES[name]
    if before is not None and before.score != phase.score:
      check_that_it_goes_on(before, *where)
      before = None
    for _ in range(options.tries):
      delay, seconds, used = measure(phase, before, *where)
      print(
        f'{name}: SIGTERM after {delay:.1f} s, gone in {seconds:.1f} s '
        f'({used:.1f} s of CPU time)',
        flush=True,
      )
      before, slowest = phase, max(slowest, seconds)
  check_that_it_goes_on(before, *where)
  print('each start went on where the one before was stopped')
  if slowest > _MOST_SECONDS:
    raise SystemExit(f'took {slowest:.1f} s; at most {_MOST_SECONDS} are fine')


if __name__ == '__main__':
  main()
