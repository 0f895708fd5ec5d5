"""Scores from what each example did during training.

They are read off the dynamics that a run saved at a step ('step' among them),
over the examples the run trained on; others are NaN here and left out of the
mean over runs.
"""

import functools

import numpy as np

from datadiet.errors import DataDietError
from datadiet.scoring.score import DYNAMICS, WINDOWS, Score
from datadiet.training import recorders
from datadiet.workdir import visits as visited
from datadiet.workdir.visits import Arrays

_TONEVA = 'Toneva et al. 2019, arXiv 1812.05159'
_SWAYAMDIPTA = 'Swayamdipta et al. 2020, arXiv 2009.10795'


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


def accumulated_margin(dynamics: Arrays) -> np.ndarray:
  """Mean over visits of p_y minus the largest other p_k (Zheng et al. 2023).

  CCS's code calls it AUM. It adds the margins up instead of taking their mean,
  which ranks alike but for examples with more visits than others.
  """
  return dynamics['margins.mean']


def first_learned(dynamics: Arrays) -> np.ndarray:
  """Step of the first visit at which it was right (Toneva et al. 2019).

  An example that was never right counts as the number of steps trained. Steps
  count from 0, so it ranks above all that were, and, being the same in every
  run, also in the mean over runs, which stays finite.
  """
  first = dynamics['first_correct_step']
  return np.where(first < 0, dynamics['step'], first)


def _spread(dynamics: Arrays) -> np.ndarray:
  """Sample deviation of p_y over all visits; 0 for fewer than two."""
  visits = dynamics['visits']
  variance = np.maximum(dynamics['confidence_m2'], 0.0)
  return np.sqrt(variance / np.maximum(visits - 1, 1)) * (visits > 1)


def _mean_over_windows(
  dynamics: Arrays, total: np.ndarray, single: np.ndarray
) -> np.ndarray:
  """The mean over full windows, or over the one window of too few visits.

  Epochs drop their last, incomplete batch, so that some examples have a visit
  less than there were epochs, and fewer than a window holds.
  """
  num_windows = dynamics['visits'] - int(dynamics['window']) + 1
  return np.where(num_windows > 0, total / np.maximum(num_windows, 1), single)


def dual(dynamics: Arrays) -> np.ndarray:
  """Mean over windows of std(p_y) (1 - mean(p_y)) (Cho et al. 2025).

  The authors' code multiplies the deviation by 10, which changes no order. An
  example with fewer visits than a window has one window, of all of them.
  """
  single = _spread(dynamics) * (1.0 - dynamics['confidence_mean'])
  return _mean_over_windows(dynamics, dynamics['windows.dual_sum'], single)


def dyn_unc(dynamics: Arrays) -> np.ndarray:
  """Mean over windows of std(p_y) (He et al. 2024).

  An example with fewer visits than a window has one window, of all of them.
  """
  single = _spread(dynamics)
  return _mean_over_windows(dynamics, dynamics['windows.std_sum'], single)


def tdds(dynamics: Arrays) -> np.ndarray:
  """Exponential mean over windows of the spread of KL(p_t+1 || p_t).

  Zhang et al. 2024 (CVPR). Follows the paper: windows move with training, and
  the change of a prediction is the divergence itself, a sum whose terms have
  signs. The authors' code sums the terms' absolute values instead, and a
  widely used copy of it never moves the window. An example with fewer visits
  than a window has one window, of all of them.
  """
  return dynamics['changes.score']


# Most scores here are higher for harder examples, and made of probabilities.
_score = functools.partial(
  Score, kind=DYNAMICS, higher_is='harder', based_on='probabilities'
)

DYNAMICS_SCORES: dict[str, Score] = {
  'forgetting': _score(
    function=forgetting,
    definition='times right at one visit and wrong at the next; never right: '
    'visits + 1',
    source=_TONEVA,
  ),
  'never_learned': _score(
    function=never_learned,
    definition='1 if wrong at every visit',
    source=_TONEVA,
  ),
  'aum': _score(
    function=aum,
    definition='mean over visits of z_y - max over k != y of z_k',
    higher_is='easier',
    based_on='logits',
    source='Pleiss et al. 2020, arXiv 2001.10528',
  ),
  'accumulated_margin': _score(
    function=accumulated_margin,
    definition='mean over visits of p_y - max over k != y of p_k',
    higher_is='easier',
    source='code of Zheng et al. 2023, arXiv 2210.15809, called AUM there',
    recorders=(recorders.MARGINS,),
  ),
  'correctness': _score(**visited.DATA_MAP['correctness'], source=_SWAYAMDIPTA),
  'mean_confidence': _score(
    **visited.DATA_MAP['mean_confidence'], source=_SWAYAMDIPTA
  ),
  'variability': _score(**visited.DATA_MAP['variability'], source=_SWAYAMDIPTA),
  'first_learned': _score(
    function=first_learned,
    definition='step of the first visit at which it was right; never: the '
    'number of steps',
    based_on='steps',
    source=_TONEVA,
  ),
  'dual': _score(
    function=dual,
    definition='mean over windows of J visits of std(p_y) (1 - mean(p_y))',
    source='Cho et al. 2025, arXiv 2502.06905',
    needs=frozenset({WINDOWS}),
    recorders=(recorders.WINDOWS,),
  ),
  'dyn_unc': _score(
    function=dyn_unc,
    definition='mean over windows of J visits of std(p_y)',
    source='He et al. 2024, arXiv 2306.05175',
    needs=frozenset({WINDOWS}),
    recorders=(recorders.WINDOWS,),
  ),
  'tdds': _score(
    function=tdds,
    definition='exponential mean (0.9 on the newest) over windows of J visits '
    'of the norm of KL(p_t+1 || p_t) minus its mean',
    source='Zhang et al. 2024, arXiv 2311.13613',
    needs=frozenset({WINDOWS}),
    recorders=(recorders.CHANGES,),
  ),
}


def score_of_dynamics(
  function, dynamics: Arrays, where: str = ''
) -> np.ndarray:
  """A score of every example, float32[N]; NaN where the run never saw it.

  Raises:
    DataDietError: if the run did not record what the score needs.
  """
  try:
    values = np.asarray(function(dynamics), np.float32)
  except KeyError as error:
    raise DataDietError(
      f'{where}: the run recorded no {error}, which {function.__name__} needs; '
      'train again in another workdir with that score in score.names'
    ) from error
  return np.where(dynamics['visits'] > 0, values, np.float32(np.nan))
