"""What a run's saved dynamics say of the visits to each example.

Swayamdipta et al. 2020, arXiv 2009.10795. The formulas stand here once: scores
are made of them, and the report's data map where they were not asked for as
scores. Each takes the arrays of dynamics/step_<s>.npz, all [N], and returns
float[N]; of an example that the run never saw they say nothing of use.
"""

from collections.abc import Callable, Mapping
from typing import TypedDict

import numpy as np

Arrays = Mapping[str, np.ndarray]


def mean_confidence(dynamics: Arrays) -> np.ndarray:
  """Mean over visits of p_y."""
  return dynamics['confidence_mean']


def variability(dynamics: Arrays) -> np.ndarray:
  """Standard deviation over visits of p_y."""
  visits = np.maximum(dynamics['visits'], 1)
  return np.sqrt(np.maximum(dynamics['confidence_m2'], 0.0) / visits)


def correctness(dynamics: Arrays) -> np.ndarray:
  """Share of visits at which the example was right."""
  return dynamics['num_correct'] / np.maximum(dynamics['visits'], 1)


class Visited(TypedDict):
  """One formula: what it is, in words, and which end is hard."""

  function: Callable[[Arrays], np.ndarray]
  definition: str
  higher_is: str


DATA_MAP: dict[str, Visited] = {
  'mean_confidence': Visited(
    function=mean_confidence,
    definition='mean over visits of p_y',
    higher_is='easier',
  ),
  'variability': Visited(
    function=variability,
    definition='standard deviation over visits of p_y',
    higher_is='neither',
  ),
  'correctness': Visited(
    function=correctness,
    definition='share of visits at which it was right',
    higher_is='easier',
  ),
}
