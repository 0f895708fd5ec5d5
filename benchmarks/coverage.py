"""Policies of coverage: seconds and memory, beside DeepCore's own code.

    python -m benchmarks.coverage
    python -m benchmarks.coverage --deepcore DIR --sizes 12500

Half of N examples of 10 classes is kept, by features of 512 numbers in clusters
and by gradients of a last layer. Each line is measured in a process of its own,
whose largest memory is told. DIR is a clone of PatrickZH/DeepCore, which runs
the same policy on the same arrays, between two turns of this project's; it
needs torch. What takes longer than --limit seconds, or than --times as long as
this project, is cut off, and its ratio is a lower bound.
"""

import argparse
import functools
import json
import os
import resource
import signal
import subprocess
import sys
import time
import types

import numpy as np

from benchmarks import timing
from datadiet.selection import SelectionInputs, select_examples

POLICIES = ('facility_location', 'k_center', 'craig', 'grad_match')
_NUM_CLASSES, _CLUSTERS_A_CLASS = 10, 20


def make_inputs(num_examples: int, num_features: int = 512) -> SelectionInputs:
  """Examples in clusters, and predictions that are mostly right."""
  rng = np.random.default_rng(0)
  labels = rng.permutation(np.arange(num_examples) % _NUM_CLASSES)
  centres = rng.normal(size=(_NUM_CLASSES * _CLUSTERS_A_CLASS, num_features))
  cluster = rng.integers(_CLUSTERS_A_CLASS, size=num_examples)
  features = centres[labels * _CLUSTERS_A_CLASS + cluster]
  features += rng.normal(size=features.shape)
  logits = 2 * rng.normal(size=(num_examples, _NUM_CLASSES))
  logits[np.arange(num_examples), labels] += 5
  probs = np.exp(logits)
  probs /= probs.sum(axis=1, keepdims=True)
  return SelectionInputs(
    labels.astype(np.int32),
    _NUM_CLASSES,
    features=np.maximum(features, 0).astype(np.float32),
    pred_probs=probs.astype(np.float32),
  )


def _gradients(inputs: SelectionInputs) -> np.ndarray:
  """Multiplied out, as DeepCore holds them: float32[N, (F + 1) C]."""
  errors = inputs.pred_probs.copy()
  errors[np.arange(len(errors)), inputs.labels] -= 1
  kernel = errors[:, :, None] * inputs.features[:, None, :]
  return np.concatenate([errors, kernel.reshape(len(errors), -1)], axis=1)


def _prepare(folder: str) -> None:
  """Imports DeepCore's functions, without its networks."""
  np.in1d = np.isin  # Of older versions of NumPy.
  for name in ('deepcore', 'deepcore.methods'):
    package = types.ModuleType(name)  # Whose own imports do not run.
    package.__path__ = [os.path.join(folder, *name.split('.'))]
    sys.modules[name] = package
  for name in ('deepcore.nets', 'deepcore.nets.nets_utils', 'torchvision'):
    sys.modules[name] = types.ModuleType(name)
  sys.modules['deepcore.nets.nets_utils'].MyDataParallel = object
  sys.modules['torchvision'].transforms = None
  from deepcore.methods import gradmatch, kcentergreedy, methods_utils

  del gradmatch, kcentergreedy, methods_utils  # Kept by sys.modules.


def _deepcore(policy: str, inputs: SelectionInputs) -> np.ndarray:
  """The examples that DeepCore's functions keep, half of each class."""
  import torch
  from deepcore.methods import methods_utils
  from deepcore.methods.gradmatch import GradMatch
  from deepcore.methods.kcentergreedy import k_center_greedy

  quiet = types.SimpleNamespace(print_freq=10**9)

  def greedy(function, positions: np.ndarray, number: int) -> np.ndarray:
    greedy = methods_utils.submodular_optimizer.LazyGreedy(
      args=quiet, index=positions, budget=number
    )
    return greedy.select(function.calc_gain, function.update_state)

  def of_class(part: SelectionInputs, number: int) -> np.ndarray:
    gradients, positions = _gradients(part), np.arange(part.num_examples)
    if policy == 'grad_match':
      weights = GradMatch.orthogonal_matching_pursuit_np(
        types.SimpleNamespace(args=quiet),
        gradients.T,
        gradients.mean(axis=0),
        number,
        0.5,
      )
      return np.flatnonzero(weights)
    if policy == 'craig':
      similar = -methods_utils.euclidean_dist_pair_np(gradients)
      similar -= similar.min() - 1e-3
      given = {'similarity_matrix': similar}
    else:
      given = {
        'similarity_kernel': lambda rows, columns: methods_utils.cossim_np(
          gradients[rows], gradients[columns]
        )
      }
    function = methods_utils.submodular_function.FacilityLocation(
      index=positions, **given
    )
    return greedy(function, positions, number)

  if policy == 'k_center':
    (first,) = select_examples(policy, inputs, 1)
    return k_center_greedy(
      torch.from_numpy(inputs.features),
      # It keeps one more than asked for where the first one is given.
      inputs.num_examples // 2 - 1,
      methods_utils.euclidean_dist,
      'cpu',
      already_selected=[first],
    )
  kept = []
  for label in range(_NUM_CLASSES):
    members = np.flatnonzero(inputs.labels == label)
    kept.append(members[of_class(inputs.take(members), len(members) // 2)])
  return np.concatenate(kept)


class _CutOff(Exception):
  """It took too long."""


def _cut_off(signum: int, frame: types.FrameType | None) -> None:
  del signum, frame
  raise _CutOff


def measure(options: argparse.Namespace) -> None:
  """Measures one line, and prints it for the process that asked."""
  inputs = make_inputs(options.one_size)
  num_keep = inputs.num_examples // 2
  choose = functools.partial(select_examples, options.one, inputs, num_keep)
  if options.deepcore:
    _prepare(options.deepcore)
    choose = functools.partial(_deepcore, options.one, inputs)
  signal.signal(signal.SIGALRM, _cut_off)
  start = time.perf_counter()
  try:
    signal.setitimer(signal.ITIMER_REAL, options.limit)
    kept = choose()
    signal.setitimer(signal.ITIMER_REAL, 0)
  except _CutOff:
    kept = np.empty(0, np.int64)
  seconds = time.perf_counter() - start
  # In units of 1024 bytes on Linux, of bytes on macOS.
  unit = 1 if sys.platform == 'darwin' else 1024
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
  line = {'seconds': seconds, 'bytes': peak, 'kept': np.sort(kept).tolist()}
  print('\n' + json.dumps(line))


def _line(policy: str, size: int, limit: float, deepcore: str = '') -> dict:
  """What `measure` finds in a process of its own; it keeps [] if cut off."""
  command = [sys.executable, '-m', 'benchmarks.coverage', '--one', policy]
  command += ['--one_size', str(size), '--deepcore', deepcore]
  command += ['--limit', str(limit)]
  try:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
  except subprocess.CalledProcessError as error:
    raise SystemExit(error.stderr) from error
  return json.loads(done.stdout.splitlines()[-1])


def table(options: argparse.Namespace) -> None:
  """Prints all lines as they come."""
  print(f'{timing.load()}\n')
  header = '| policy | N | seconds | MB |'
  if options.deepcore:
    header += ' DeepCore: seconds | MB | times as long | kept by both |'
  print(header)
  print('| --- ' * (header.count('|') - 1) + '|', flush=True)
  for policy in options.policies:
    for size in options.sizes:
      turns = [_line(policy, size, options.limit)]
      row = ''
      if options.deepcore:
        limit = min(options.limit, options.times * turns[0]['seconds'])
        theirs = _line(policy, size, limit, options.deepcore)
        turns.append(_line(policy, size, options.limit))
        slower = max(ours['seconds'] for ours in turns)
        more = '' if theirs['kept'] else 'over '
        both = len({*turns[0]['kept']} & {*theirs['kept']}) / (size // 2)
        row += f' {more}{theirs["seconds"]:.1f} '
        row += f'| {more}{theirs["bytes"] / 1e6:,.0f} '
        row += f'| {more}{theirs["seconds"] / slower:.1f} '
        row += f'| {f"{100 * both:.1f} %" if theirs["kept"] else ""} |'
      seconds = ', '.join(f'{ours["seconds"]:.1f}' for ours in turns)
      peak = max(ours['bytes'] for ours in turns)
      print(
        f'| {policy} | {size:,} | {seconds} | {peak / 1e6:,.0f} |{row}',
        flush=True,
      )


def main() -> None:
  """Measures one line where that is asked for, else prints the table."""
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--policies', nargs='*', default=POLICIES)
  parser.add_argument(
    '--sizes', nargs='*', type=int, default=(12_500, 25_000, 50_000)
  )
  parser.add_argument('--deepcore', default='', help='a clone of DeepCore')
  parser.add_argument(
    '--limit', type=float, default=1800.0, help='seconds for one line'
  )
  parser.add_argument(
    '--times',
    type=float,
    default=float('inf'),
    help="of this project's seconds, for one of DeepCore's lines",
  )
  parser.add_argument('--one', default='', help=argparse.SUPPRESS)
  parser.add_argument('--one_size', type=int, help=argparse.SUPPRESS)
  options = parser.parse_args()
  (measure if options.one else table)(options)


if __name__ == '__main__':
  main()
