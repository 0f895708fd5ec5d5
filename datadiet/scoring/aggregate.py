"""Aggregates the scores of single runs: mean, spread and stability."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from datadiet.errors import DataDietError, counted

# Random splits of the runs into disjoint halves that stability averages over.
_NUM_SPLITS = 10


class Unseen(DataDietError):
  """An example that no run trained on has no score of the dynamics."""


def check_finite(
  scores: np.ndarray,
  *,
  name: str,
  where: str,
  advice: str = 'the network may have diverged',
) -> None:
  """Refuses NaN and infinite values, [N, ...]; `advice` ends the sentence.

  Raises:
    DataDietError: names the score, the run and the first such example.
  """
  bad = ~np.isfinite(scores)
  if bad.any():
    first = np.unravel_index(np.argmax(bad), bad.shape)
    num_bad = int(bad.reshape(len(bad), -1).any(axis=1).sum())
    raise DataDietError(
      f'{where}: {name} of example_index {first[0]} is {scores[first]} '
      f'({counted(num_bad, "such example")}); {advice}'
    )


def mean_and_spread(
  scores_by_run: Sequence[np.ndarray], *, name: str
) -> Mapping[str, np.ndarray]:
  """Mean and spread over the runs that have a score for each example.

  Args:
    scores_by_run: float32[N] each; NaN where the run has no score because it
      did not train on the example.
    name: the score, for messages.

  Returns:
    'mean', 'std' (divisor: number of runs minus one; 0 for one run) and
    'stderr' (std over the root of the number of runs), float32[N] each, and
    'num_runs', int32[N].

  Raises:
    Unseen: if an example has no score in any run.
  """
  stacked = np.stack(scores_by_run).astype(np.float64)
  present = ~np.isnan(stacked)
  num_runs = present.sum(0)
  if (num_runs == 0).any():
    raise Unseen(
      f'{name}: example_index {int(np.argmax(num_runs == 0))} has a score in '
      'none of the runs, as none trained on it; train for more epochs or more '
      'runs'
    )
  filled = np.where(present, stacked, 0.0)
  mean = filled.sum(0) / num_runs
  squares = np.where(present, np.square(stacked - mean), 0.0).sum(0)
  std = np.sqrt(squares / np.maximum(num_runs - 1, 1))
  return {
    'mean': mean.astype(np.float32),
    'std': std.astype(np.float32),
    'stderr': (std / np.sqrt(num_runs)).astype(np.float32),
    'num_runs': num_runs.astype(np.int32),
  }


def rank_stability(
  scores_by_run: Sequence[np.ndarray], *, seed: int = 0
) -> dict[str, float]:
  """How much the ranking depends on which runs are averaged.

  Args:
    scores_by_run: float32[N] each; NaN where a run has no score.
    seed: of the random splits.

  Returns:
    {'k': correlation} for k = 1 to half the number of runs: the Spearman
    correlation between the mean of k runs and the mean of k others, averaged
    over random splits. Empty for one run; correlations of constant scores are
    left out.
  """
  runs = np.stack(scores_by_run).astype(np.float64)
  rng = np.random.default_rng([seed, len(runs)])
  stability = {}
  for size in range(1, len(runs) // 2 + 1):
    correlations = []
    for _ in range(_NUM_SPLITS):
      chosen = rng.permutation(len(runs))[: 2 * size]
      halves = [_mean(runs[part]) for part in np.split(chosen, 2)]
      both = ~np.isnan(halves[0]) & ~np.isnan(halves[1])
      correlations.append(spearman(halves[0][both], halves[1][both]))
    known = [value for value in correlations if np.isfinite(value)]
    if known:
      stability[str(size)] = float(np.mean(known))
  return stability


def _mean(runs: np.ndarray) -> np.ndarray:
  """Mean over the runs that have a score; NaN where none has."""
  present = ~np.isnan(runs)
  count = present.sum(0)
  total = np.where(present, runs, 0.0).sum(0)
  return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def spearman(first: np.ndarray, second: np.ndarray) -> float:
  """Spearman's rank correlation; NaN if either is constant."""
  if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
    return float('nan')
  return float(stats.spearmanr(first, second).statistic)


def memorization(right: np.ndarray, trained_on: np.ndarray) -> np.ndarray:
  """P(right | run trained on it) - P(right | run did not).

  Feldman and Zhang 2020, arXiv 2008.03703.

  Args:
    right: bool[num_runs, N], whether each run classifies each example rightly.
    trained_on: bool[num_runs, N]; every example in and out of at least one.

  Returns:
    float32[N], in [-1, 1].
  """
  inside = _share(right, trained_on)
  outside = _share(right, ~trained_on)
  return (inside - outside).astype(np.float32)


def _share(right: np.ndarray, among: np.ndarray) -> np.ndarray:
  return (right & among).sum(0) / among.sum(0)


def where(
  scores_by_run: Sequence[np.ndarray], counts: np.ndarray
) -> list[np.ndarray]:
  """Scores of some runs, NaN where a run's does not count for the example.

  Args:
    scores_by_run: float32[N] each.
    counts: bool[num_runs, N], of these runs: which trained on it, or did not.
  """
  return [
    np.where(has_one, scores, np.float32(np.nan))
    for scores, has_one in zip(scores_by_run, counts, strict=True)
  ]


def by_repeat(
  scores_by_run: Sequence[np.ndarray], trained_on: np.ndarray, folds: int
) -> list[np.ndarray]:
  """The score of each example by the run of each repeat that left it out.

  Args:
    scores_by_run: [N] each, of all runs.
    trained_on: bool[num_runs, N], of `order.fold_subsets`.
    folds: runs of a repeat.

  Returns:
    [N] for each repeat.
  """
  scores = np.stack(scores_by_run)
  found = []
  for first in range(0, len(scores), folds):
    repeat = slice(first, first + folds)
    left_out = trained_on[repeat].argmin(0)
    found.append(scores[repeat][left_out, np.arange(len(left_out))])
  return found


def out_of_sample_mean(
  probs_by_run: Sequence[np.ndarray], trained_on: np.ndarray
) -> np.ndarray:
  """Mean prediction of the runs that did not train on each example.

  Args:
    probs_by_run: float32[N, num_classes] each.
    trained_on: bool[num_runs, N]; every example out of at least one.

  Returns:
    float32[N, num_classes].
  """
  total = np.zeros(probs_by_run[0].shape, np.float64)
  for probs, inside in zip(probs_by_run, trained_on, strict=True):
    total += np.where(inside[:, None], 0.0, probs)
  return (total / (~trained_on).sum(0)[:, None]).astype(np.float32)
