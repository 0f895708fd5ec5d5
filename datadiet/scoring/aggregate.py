"""From the scores of single runs to one score: mean and spread over runs."""

from collections.abc import Mapping, Sequence

import numpy as np

from datadiet.errors import DataDietError


def check_finite(scores: np.ndarray, *, name: str, where: str) -> None:
  """Refuses NaN and infinite scores.

  Raises:
    DataDietError: names the score, the run and the first such example.
  """
  bad = ~np.isfinite(scores)
  if bad.any():
    raise DataDietError(
      f'{where}: {name} of example_index {int(np.argmax(bad))} is '
      f'{scores[np.argmax(bad)]} ({int(bad.sum())} such examples); the network '
      'may have diverged'
    )


def mean_and_std(
  scores_by_run: Sequence[np.ndarray], *, name: str
) -> Mapping[str, np.ndarray]:
  """Mean and standard deviation over the runs that saw each example.

  Args:
    scores_by_run: float32[N] each; NaN where the run has no score because it
      did not train on the example.
    name: the score, for messages.

  Returns:
    'mean', 'std' (divided by the number of runs minus one; 0 for one run) and
    'num_runs', [N] each; float32 and int32.

  Raises:
    DataDietError: if an example has no score in any run.
  """
  stacked = np.stack(scores_by_run).astype(np.float64)
  present = ~np.isnan(stacked)
  num_runs = present.sum(0)
  if (num_runs == 0).any():
    raise DataDietError(
      f'{name}: example_index {int(np.argmax(num_runs == 0))} has a score in '
      'none of the runs; train runs that include it'
    )
  filled = np.where(present, stacked, 0.0)
  mean = filled.sum(0) / num_runs
  squares = np.where(present, np.square(stacked - mean), 0.0).sum(0)
  std = np.sqrt(squares / np.maximum(num_runs - 1, 1))
  return {
    'mean': mean.astype(np.float32),
    'std': std.astype(np.float32),
    'num_runs': num_runs.astype(np.int32),
  }
