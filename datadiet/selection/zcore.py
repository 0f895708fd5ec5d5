"""ZCore: coverage of random planes of the embedding, without labels."""

import numpy as np

from datadiet.selection.interface import Policy, SelectionInputs
from datadiet.selection.ranking import largest_first
from datadiet.settings import Setting, checks

# Points drawn in one plane: sorting its examples takes longest.
_DRAWS_A_PLANE = 256
_NUM_AXES = 2


def plane_scores(
  plane: np.ndarray, points: np.ndarray, num_neighbours: int, exponent: float
) -> np.ndarray:
  """What some points drawn in a plane add to the scores: float64[N].

  The example nearest to each point (in the sum of absolute differences) gets 1,
  and its nearest neighbours lose 1 together, in proportion to distance to the
  power of -exponent; the first one loses all of it if it lies at the same
  place.

  Args:
    plane: float64[N, axes].
    points: float64[num_points, axes].
    num_neighbours: at most N - 1.
    exponent: how much more near neighbours lose.
  """
  # Imported here: it takes a quarter of a second, and 50 MB.
  from scipy.spatial import cKDTree

  scores = np.zeros(len(plane))
  tree = cKDTree(plane)
  _, covering = tree.query(points, p=1)
  covering, counts = np.unique(covering, return_counts=True)
  scores[covering] += counts
  # One more: the example itself is among them.
  distances, neighbours = tree.query(plane[covering], k=num_neighbours + 1, p=1)
  for row, example in enumerate(covering):
    others = neighbours[row] != example
    away, at = distances[row][others], neighbours[row][others]
    away, at = away[:num_neighbours], at[:num_neighbours]
    if away[0] == 0:
      penalties = np.zeros(len(away))
      penalties[0] = 1.0
    else:
      penalties = (away[0] / away) ** exponent
      penalties /= penalties.sum()
    scores[at] -= counts[row] * penalties
  return scores


def zcore(
  inputs: SelectionInputs,
  num_keep: int,
  *,
  rng: np.random.Generator,
  draws_per_example: int,
  num_neighbours: int,
  exponent: float,
) -> np.ndarray:
  """ZCore (Griffin et al. 2024, arXiv 2411.15349).

  Draws two axes of the embedding and a point in their plane, from triangular
  distributions between the least, the median and the largest value; the example
  nearest to it gains a point, and what is near that example loses one. Kept are
  the highest sums, which start at random numbers in [0, 1). Labels are not
  used. The paper draws new axes for each of a million points, 20 an example of
  CIFAR-10; here 256 points share a plane, whose examples are then sorted once.
  Its 1,000 neighbours are 100 by default: in a plane of even density the others
  would lose about 1 % of the point.
  """
  features = inputs.array('features').astype(np.float64)
  num_examples, num_features = features.shape
  scores = np.asarray(rng.uniform(size=num_examples))
  low, high = features.min(axis=0), features.max(axis=0)
  middle = np.median(features, axis=0)
  # The same in all of them can tell nothing, nor be drawn from.
  varied = np.flatnonzero(low < high)
  num_axes = min(_NUM_AXES, len(varied))
  # Where all lie at one place, only chance tells them apart.
  num_left = draws_per_example * num_examples if num_axes else 0
  while num_left > 0:
    axes = rng.choice(varied, num_axes, replace=False)
    num_points = min(_DRAWS_A_PLANE, num_left)
    points = rng.triangular(
      low[axes], middle[axes], high[axes], (num_points, num_axes)
    )
    scores += plane_scores(
      features[:, axes],
      points,
      min(num_neighbours, num_examples - 1),
      exponent,
    )
    num_left -= num_points
  return np.sort(largest_first(scores)[:num_keep])


POLICIES: dict[str, Policy] = {
  'zcore': Policy(
    function=zcore,
    needs=frozenset({'features', 'seed'}),
    nested=True,
    summary='what covers random planes of the embedding, without repetition',
    source='Griffin et al. 2024, arXiv 2411.15349',
    options={
      'draws_per_example': Setting(
        default=20,
        check=checks.integer(1, words='an integer, 1 or more'),
        help='points drawn for each example',
      ),
      'num_neighbours': Setting(
        default=100,
        check=checks.integer(1, words='an integer, 1 or more'),
        help='how many neighbours of a covering example lose',
      ),
      'exponent': Setting(
        default=4.0,
        check=checks.not_negative,
        help='how much more near neighbours lose',
      ),
    },
  ),
}
