"""Scores from what each example did during training.

They are read off the dynamics that a run saved at a step, over the examples
the run trained on; others are NaN here and left out of the mean over runs.
"""

from collections.abc import Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]


def forgetting(dynamics: Arrays) -> np.ndarray:
  """Times an example went from right to wrong (Toneva et al. 2019).

  An example that was never right counts as visits + 1: more than any that was
  learned can reach, and finite, so that means over runs stay finite.
  """
  visits = dynamics['visits']
  never_learned = dynamics['num_correct'] == 0
  events = dynamics['forgetting_events']
  return np.where(never_learned, visits + 1, events)


def never_learned(dynamics: Arrays) -> np.ndarray:
  """1 where an example was wrong at every visit, else 0."""
  return dynamics['num_correct'] == 0


def aum(dynamics: Arrays) -> np.ndarray:
  """Mean over visits of z_y minus the largest other logit (Pleiss 2020)."""
  return dynamics['margin_mean']


def correctness(dynamics: Arrays) -> np.ndarray:
  """Share of visits at which the example was right (Swayamdipta 2020)."""
  return dynamics['num_correct'] / np.maximum(dynamics['visits'], 1)


def mean_confidence(dynamics: Arrays) -> np.ndarray:
  """Mean over visits of p_y (Swayamdipta et al. 2020)."""
  return dynamics['confidence_mean']


def variability(dynamics: Arrays) -> np.ndarray:
  """Standard deviation over visits of p_y (Swayamdipta et al. 2020)."""
  visits = np.maximum(dynamics['visits'], 1)
  return np.sqrt(np.maximum(dynamics['confidence_m2'], 0.0) / visits)


def read_off(function, dynamics: Arrays) -> np.ndarray:
  """A score of every example, float32[N]; NaN where the run never saw it."""
  values = np.asarray(function(dynamics), np.float32)
  return np.where(dynamics['visits'] > 0, values, np.float32(np.nan))
