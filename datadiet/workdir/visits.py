"""Statistics of the visits to each example, from a run's saved dynamics.

Swayamdipta et al. 2020, arXiv 2009.10795. Used by scores, and by the report's
data map where these scores were not asked for. Each function takes the arrays
of dynamics/step_<s>.npz, all [N], and returns float[N]; values of examples that
the run never saw are meaningless.
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
