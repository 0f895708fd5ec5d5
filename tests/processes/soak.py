"""Kills a pair of processes over and over; the end must be as if it had not.

    python -m tests.processes.soak --rounds=20

Two processes with four virtual devices each train four runs of digits, score,
inspect, audit, select, retrain and report. In each round one of them gets
SIGTERM or SIGKILL at a random moment of a stage, both end by themselves, and
the pair is started again; all stages have their turn. Whenever it runs to its
end, parameters, dynamics, scores and history have to be, bit by bit, those of a
pair that nothing disturbed. Nothing that was stopped loses a step, and no file
may be half-written.
"""

import argparse
import collections
import dataclasses
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from datadiet.errors import EXIT_STOPPED
from datadiet.workdir import tables
from tests import running
from tests.processes.soak_log import Seen, read_log, seconds_by_stage
from tests.processes.whole_files import check_whole

_CHANGES = {
  'train__num_runs': 4,
  'train__num_steps': 110,
  'train__schedule_steps': 110,
  'train__checkpoint_every_steps': 11,
  'score__steps': (0, 110),
  'score__batch_size': 128,
  'score__gradient_batch_size': 64,
  'retrain__num_steps': 44,
  'retrain__full': False,
}
# Where the kills of one workdir fall, of as many as there are rounds for.
_STAGES = ('start', *tables.STAGES)
_TARGETS = (*_STAGES, 'train')
# What the log says over and over in a stage, and how often; others are short.
_COUNTED = {
  'train': ('Dispatched step', 110),
  'score': ('scoring run', 16),
  'retrain': ('Dispatched step', 44),
}
# Seconds that such a stage takes to begin in earnest: it compiles.
_COMPILING = 5.0
# Both have to be gone this soon after the signal to one.
_PATIENCE = 60.0


@dataclasses.dataclass
class Kill:
  """What a signal hit.

  Attributes:
    victim: the process that got it.
    number: the signal.
    seen: what the log of process 0 said by then.
    seconds: until both had ended.
    codes: how they ended.
    lost: steps trained again since; None as long as that is not known.
  """

  victim: int
  number: signal.Signals
  seen: Seen
  seconds: float
  codes: list[int]
  lost: int | None = None

  def __str__(self) -> str:
    return (
      f'{self.number.name} to process {self.victim} in {self.seen.stage}: '
      f'gone in {self.seconds:.1f} s with codes {self.codes}'
    )


class Soak:
  """Workdirs in a folder, one undisturbed and others that are."""

  def __init__(self, folder: Path, seed: int):
    self._folder = folder
    self._random = random.Random(seed)
    self._env = running.environment(folder, num_devices=4)
    self._quiet = folder / 'quiet'
    self.kills: list[Kill] = []
    self.num_files = 0

  def _start(self, workdir: Path) -> running.Pair:
    flags = running.tiny_flags(
      workdir, compilation_cache_dir=self._folder / 'xla', **_CHANGES
    )
    # Each step is logged, to see how far a killed process had come.
    return running.Pair([*flags, '--verbosity=1'], self._env)

  def _run_to_the_end(self, workdir: Path) -> str:
    pair = self._start(workdir)
    if pair.wait(600) != [0, 0]:
      raise SystemExit(pair.log(0) + pair.log(1))
    return pair.log(0)

  def run_undisturbed(self) -> None:
    """Makes what all others are compared with, and measures the stages."""
    start = time.time()
    log = self._run_to_the_end(self._quiet)
    print(f'undisturbed: {time.time() - start:.0f} s', flush=True)
    self._seconds = seconds_by_stage(log, start)
    shown = [f'{name} {spent:.1f}' for name, spent in self._seconds.items()]
    print(f'seconds of each stage: {", ".join(shown)}', flush=True)

  def disturb(self, num_rounds: int) -> None:
    """Kills a new workdir so many times, from its start to its end."""
    workdir = self._folder / f'disturbed_{len(self.kills)}'
    targets = self._random.sample(_TARGETS, min(num_rounds, len(_TARGETS)))
    for target in sorted(targets, key=_STAGES.index):
      kill = self._round(workdir, target)
      if kill is None:  # It came to its end before.
        break
      self.kills.append(kill)
      check_whole(workdir)
      print(f'{len(self.kills):2}: {kill}', flush=True)
    self._note_lost(self._run_to_the_end(workdir))
    self._compare(workdir)

  def _round(self, workdir: Path, target: str) -> Kill | None:
    """One start with a signal in it; None if it ended before."""
    pair = self._start(workdir)
    victim = self._random.randrange(2)
    number = self._random.choice([signal.SIGTERM, signal.SIGKILL])
    self._wait_for_the_moment(pair, target)
    if not pair.is_running():
      if pair.wait() != [0, 0]:
        raise SystemExit(pair.log(0) + pair.log(1))
      self._note_lost(pair.log(0))
      return None
    start = time.monotonic()
    pair.processes[victim].send_signal(number)
    seen = read_log(pair.log(0))
    if seen.stage == 'start':
      # The other may wait minutes for this one to join: a launcher's task.
      pair.processes[victim].wait(_PATIENCE)
      pair.processes[1 - victim].kill()
    codes = pair.wait(_PATIENCE)
    kill = Kill(victim, number, seen, time.monotonic() - start, codes)
    self._note_lost(pair.log(0))
    kill.seen = read_log(pair.log(0))  # What was done until it ended, too.
    kill.seen.stage = seen.stage
    allowed = {0, EXIT_STOPPED}
    if number == signal.SIGTERM and seen.stage != 'start':
      if not set(codes) <= allowed:
        raise SystemExit(f'{kill}\n{pair.log(0)}\n{pair.log(1)}')
    return kill

  def _wait_for_the_moment(self, pair: running.Pair, target: str) -> None:
    """Waits for a random moment of a stage, or until that has passed."""
    begins = f'Stage {target} begins'
    line, total = _COUNTED.get(target, ('', 0))
    count = self._random.randint(-total // 4, total)

    def has_come() -> bool:
      log = pair.log(0)
      _, begun, after = log.partition(begins)
      return (
        target == 'start'
        or bool(begun)
        and (after.count(line) >= count or 'Stage' in after)
      )

    while pair.is_running() and not has_come():
      time.sleep(0.002)
    seconds = 0.1 if count > 0 else _COMPILING
    if not line:
      seconds = self._seconds[target]
    time.sleep(self._random.uniform(0, seconds))

  def _note_lost(self, log: str) -> None:
    """Completes the kills before by where the next starts went on."""
    seen = read_log(log)
    for kill in self.kills:
      if kill.lost is not None:
        continue
      if not kill.seen.wave:
        kill.lost = 0
      elif kill.seen.wave in seen.first_steps:
        kill.lost = max(0, kill.seen.step - seen.first_steps[kill.seen.wave])
      elif seen.is_past(kill.seen.stage):
        kill.lost = 0  # It was finished.
      if kill.lost and kill.number == signal.SIGTERM:
        raise SystemExit(f'{kill}: lost {kill.lost} steps\n{log}')

  def _compare(self, workdir: Path) -> None:
    expected, found = running.results(self._quiet), running.results(workdir)
    different = sorted(
      name
      for name in expected.keys() | found.keys()
      if expected.get(name) != found.get(name)
    )
    if different:
      raise SystemExit(f'not as if nothing had happened: {different[:20]}')
    self.num_files += check_whole(workdir, is_finished=True)

  def summary(self) -> str:
    """What was done to the processes, and what was lost."""
    by_stage = collections.Counter(kill.seen.stage for kill in self.kills)
    by_signal = collections.Counter(kill.number.name for kill in self.kills)
    lines = []
    for name, counts in (('signal', by_signal), ('stage', by_stage)):
      shown = ', '.join(f'{key} {count}' for key, count in counts.items())
      lines.append(f'{len(self.kills)} kills by {name}: {shown}')
    for number in by_signal:
      killed = [kill for kill in self.kills if kill.number.name == number]
      lost = [kill.lost or 0 for kill in killed]
      seconds = max(kill.seconds for kill in killed)
      lines.append(
        f'{number}: both gone within {seconds:.1f} s; steps lost: at most '
        f'{max(lost)}, each time {lost}'
      )
    lines.append(f'the same bytes in the end; {self.num_files} files whole')
    return '\n'.join(lines)


def run(num_rounds: int, seed: int) -> None:
  """Runs the test and prints what happened; exits non-zero if it failed."""
  with tempfile.TemporaryDirectory() as name:
    soak = Soak(Path(name), seed)
    soak.run_undisturbed()
    while len(soak.kills) < num_rounds:
      soak.disturb(num_rounds - len(soak.kills))
    print(soak.summary())


def main() -> None:
  """The command line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--rounds', type=int, default=20)
  parser.add_argument('--seed', type=int, default=None)
  options = parser.parse_args()
  seed = options.seed
  if seed is None:
    seed = int(time.time())
  print(f'--rounds={options.rounds} --seed={seed}', flush=True)
  run(options.rounds, seed)


if __name__ == '__main__':
  sys.exit(main())
