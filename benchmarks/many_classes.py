"""What the label audit takes where only the most probable classes are kept.

Made-up predictions of 1.28 million examples and 1,000 classes by three folds:
5 % of the labels are drawn anew, and networks take a class for those of its
ten. Prints seconds, those of work (fewer on a busy machine) and the peak of
memory, step by step.

  python -m benchmarks.many_classes
"""

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import app, flags
from scipy import stats

from datadiet import audit
from datadiet.stages import pred_probs
from datadiet.workdir.top_probs import NUM_KEPT, TopProbs, class_type

_NUM = flags.DEFINE_integer('num_examples', 1_281_167, 'N.')
_CLASSES = flags.DEFINE_integer('num_classes', 1000, 'Of the labels.')
_RUNS = flags.DEFINE_integer('num_runs', 3, 'Folds.')
_NOISE, _ALIKE = 0.05, 10


def predict(true: np.ndarray, num_classes: int, seed: int) -> TopProbs:
  """One network's most probable classes.

  Args:
    true: int[N], the classes.
    num_classes: of them.
    seed: of the network.
  """
  rng = np.random.default_rng(seed)
  classes = np.empty((len(true), NUM_KEPT), class_type(num_classes))
  probs = np.empty(classes.shape, np.float32)
  for start in range(0, len(true), 50_000):
    rows = slice(start, start + 50_000)
    own = true[rows, None]
    # The ten classes of the true one, and ten in another place.
    first = np.concatenate([own, own + num_classes // 2], 1)
    first = first % num_classes // _ALIKE * _ALIKE
    kept = (first[:, :, None] + np.arange(_ALIKE)).reshape(len(own), -1)
    logits = rng.normal(0, 2, kept.shape)
    logits[:, :_ALIKE] += 3
    logits[kept == own] += rng.normal(5, 3, len(own))
    weights = np.exp(logits)
    weights /= weights.sum(1, keepdims=True) * 1.02
    order = np.argsort(-weights, axis=1)
    kept = np.take_along_axis(kept, order, 1)
    weights = np.take_along_axis(weights, order, 1)
    classes[rows], probs[rows] = kept, weights
  return TopProbs(classes, probs, num_classes)


def timed(name: str, function: Callable, *arguments: Any) -> Any:
  """What a function gives; prints what it took."""
  started, worked = time.perf_counter(), time.process_time()
  found = function(*arguments)
  seconds = time.perf_counter() - started
  worked = time.process_time() - worked
  peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
  print(
    f'{name:24} {seconds:7.1f} s, {worked:7.1f} s of work, '
    f'peak so far {peak:.2f} GiB',
    flush=True,
  )
  return found


def main(_: list[str]) -> None:
  """Goes through what the score and audit stages do with predictions."""
  rng = np.random.default_rng(0)
  num, num_classes, num_runs = _NUM.value, _CLASSES.value, _RUNS.value
  true = rng.integers(0, num_classes, num)
  is_wrong = rng.random(num) < _NOISE
  labels = np.where(is_wrong, rng.integers(0, num_classes, num), true)
  is_wrong = labels != true
  left_out = np.arange(num) % num_runs == np.arange(num_runs)[:, None]
  by_run = [
    timed(f'run {run}', predict, true, num_classes, run)
    for run in range(num_runs)
  ]
  outside = timed('mean out of sample', pred_probs.mean, by_run, ~left_out)
  inside = timed('mean in sample', pred_probs.mean, by_run, left_out)
  del by_run
  found = timed('calibrate', audit.calibrate, outside, labels)
  issues = timed('confident_issues', audit.confident_issues, outside, labels)
  odds = timed(
    'odds in sample', audit.odds_against_labels, inside, labels, found.noise
  )
  ranks = timed('suspicion', audit.suspicion, [odds, found.log_odds])
  ranks = stats.rankdata(ranks)
  num_wrong = is_wrong.sum()
  above = ranks[is_wrong].sum() - num_wrong * (num_wrong + 1) / 2
  auroc = above / (num_wrong * (num - num_wrong))
  print(
    f'accuracy {(outside.argmax(1) == true).mean():.3f}, noise rate '
    f'{found.noise_rate:.4f} of {is_wrong.mean():.4f}, AUROC {auroc:.4f}, '
    f'issues {issues.sum()} of which wrong {is_wrong[issues].mean():.3f}, '
    f'found {issues[is_wrong].mean():.3f}'
  )


if __name__ == '__main__':
  app.run(main)
