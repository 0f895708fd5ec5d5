"""Kills a pair of processes over and over; the end must be as if it had not.

    python -m tests.soak --rounds=20

Two processes with four virtual devices each train four runs of digits, score,
select and retrain. In each round one of them gets SIGTERM or SIGKILL at a
random moment, both end, and the pair is started again. At last it runs to its
end: parameters, dynamics, scores and history have to be, bit by bit, those of a
pair that nothing disturbed, and no file may be half-written.
"""

import argparse
import collections
import json
import random
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from datadiet import preemption
from tests import running

_CHANGES = {
  'train__num_runs': 4,
  'train__num_steps': 880,
  'train__schedule_steps': 880,
  'train__checkpoint_every_steps': 88,
  'score__steps': (0, 440, 880),
  'score__batch_size': 64,
  'score__gradient_batch_size': 32,
  'retrain__num_steps': 220,
}
_STAGES = 'train,score,select,retrain'


def _flags(workdir: Path, compilations: Path) -> list[str]:
  flags = running.tiny_flags(
    workdir, stages=_STAGES, compilation_cache_dir=compilations, **_CHANGES
  )
  # Each step is logged, to see how far a killed process had come.
  return [*flags, '--verbosity=1']


def _newest_checkpoint(group: Path) -> int:
  """The step from which the runs of a folder that are not finished go on."""
  newest = [
    max([0, *(int(p.name) for p in run.glob('checkpoints/[0-9]*'))])
    for run in group.glob('run_*')
    if not (run / 'manifest.json').exists()
  ]
  return min(newest, default=0)


def _stage_of(log: str) -> tuple[str, int]:
  """The stage a process was in when its log ended, and its last step."""
  stage, step = 'start', 0
  for line in log.splitlines():
    if found := re.search(r'Stage (\w+) begins', line):
      stage, step = found[1], 0
    elif found := re.search(r'Dispatched step (\d+)', line):
      step = int(found[1])
  return stage, step


def _round(flags, env, workdir: Path, rng: random.Random, seconds: float):
  """One start with a signal in it: (victim, signal, stage, steps lost)."""
  pair = running.Pair(flags, env)
  victim = rng.randrange(2)
  number = rng.choice([signal.SIGTERM, signal.SIGKILL])
  deadline = time.monotonic() + rng.uniform(1.0, seconds)
  while pair.is_running() and time.monotonic() < deadline:
    time.sleep(0.01)
  if not pair.is_running():
    codes = pair.wait()
    return None if codes == [0, 0] else ('nobody', 'none', f'{codes}', 0)
  pair.processes[victim].send_signal(number)
  codes = pair.wait()
  stage, step = _stage_of(pair.log(0))
  lost = 0
  if stage in ('train', 'retrain') and step:
    groups = [workdir / 'train']
    if stage == 'retrain':
      groups = list((workdir / 'retrain').iterdir())
    lost = max(0, step - max(map(_newest_checkpoint, groups)))
  allowed = {0, preemption.EXIT_CODE}
  if number == signal.SIGTERM and stage != 'start' and not set(codes) & allowed:
    print(pair.log(0)[-2000:], pair.log(1)[-2000:])
    raise SystemExit(f'after SIGTERM the processes ended with {codes}')
  return victim, number.name, stage, lost


def _check_files(workdir: Path) -> int:
  """Reads every small file whole; returns how many."""
  num_read = 0
  for path in workdir.rglob('*'):
    if '/checkpoints/' in str(path) or not path.is_file():
      continue
    if path.suffix == '.json':
      json.loads(path.read_text())
    elif path.suffix in ('.npy', '.npz'):
      np.load(path)
    elif '.tmp' in path.name:
      continue  # What a kill left; never read, and replaced.
    num_read += 1
  return num_read


def run(num_rounds: int, seed: int) -> None:
  """Runs the test and prints what happened; exits non-zero if it failed."""
  rng = random.Random(seed)
  with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    env = running.environment(folder, num_devices=4)
    start = time.monotonic()
    quiet, workdir = folder / 'quiet', folder / 'workdir'
    pair = running.Pair(_flags(quiet, folder / 'xla'), env)
    if pair.wait(600) != [0, 0]:
      raise SystemExit(pair.log(0) + pair.log(1))
    seconds = time.monotonic() - start
    print(f'undisturbed: {seconds:.0f} s', flush=True)
    kills = []
    flags = _flags(workdir, folder / 'xla')
    while len(kills) < num_rounds:
      kill = _round(flags, env, workdir, rng, 0.8 * seconds)
      if kill is None:  # It came to its end: from the beginning again.
        _compare(quiet, workdir)
        workdir.rename(folder / f'done_{len(kills)}')
        continue
      _check_files(workdir)
      kills.append(kill)
      victim, number, stage, lost = kill
      print(
        f'{len(kills):2}: {number} to process {victim} in {stage}, '
        f'{lost} steps lost',
        flush=True,
      )
    pair = running.Pair(flags, env)
    if pair.wait(600) != [0, 0]:
      raise SystemExit(pair.log(0) + pair.log(1))
    _compare(quiet, workdir)
    by_stage = collections.Counter(stage for _, _, stage, _ in kills)
    by_signal = collections.Counter(number for _, number, _, _ in kills)
    lost = [lost for *_, lost in kills]
    print(f'{len(kills)} kills: {dict(by_signal)}, by stage {dict(by_stage)}')
    print(f'steps lost: at most {max(lost)}, {sum(lost)} in all')
    print(
      f'the same bytes in the end; {_check_files(workdir)} files read whole'
    )


def _compare(expected: Path, found: Path) -> None:
  a, b = running.results(expected), running.results(found)
  different = sorted(n for n in a.keys() | b.keys() if a.get(n) != b.get(n))
  different = [name for name in different if '.tmp' not in name]
  if different:
    raise SystemExit(f'not as if nothing had happened: {different[:20]}')


def main() -> None:
  """The command line."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--rounds', type=int, default=20)
  parser.add_argument('--seed', type=int, default=None)
  options = parser.parse_args()
  seed = options.seed
  if seed is None:
    seed = int(time.time())
  print(f'--seed={seed}', flush=True)
  run(options.rounds, seed)


if __name__ == '__main__':
  sys.exit(main())
