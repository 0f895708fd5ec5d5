"""Groups of images, found without labels, that networks are bad at."""

import dataclasses

import numpy as np
from scipy import special

from datadiet.inspection.neighbours import directions

# Examples a group, roughly, and how many groups there are at least and at most.
_GROUP_SIZE, _FEWEST, _MOST = 250, 10, 200
# Examples that groups are made from.
_NUM_FITTED = 20_000
# A group is bad whose accuracy is this far below the average, and below it by
# chance in less than one of so many data sets.
_GAP, _CHANCE = 0.1, 0.01
_NUM_EXAMPLES = 8


@dataclasses.dataclass(frozen=True)
class Group:
  """A group of examples.

  Attributes:
    members: int64[M].
    accuracy: of the networks on them.
    examples: int64[E], those nearest to the centre, first those that networks
      are wrong about.
  """

  members: np.ndarray
  accuracy: float
  examples: np.ndarray


def bad_groups(embeddings: np.ndarray, is_right: np.ndarray) -> list[Group]:
  """Clusters of embeddings with an accuracy far below average, worst first.

  By k-means; a group is judged by the binomial test with as many groups as
  there are (Bonferroni). As in Domino (Eyuboglu et al. 2022, arXiv 2203.14960)
  clusters are of a network's view; theirs also looks at predictions.

  Args:
    embeddings: float32[N, d].
    is_right: bool[N], whether the networks predict the label.
  """
  # Imported here: it takes a second.
  import threadpoolctl
  from sklearn.cluster import MiniBatchKMeans

  num_groups = int(np.clip(len(embeddings) // _GROUP_SIZE, _FEWEST, _MOST))
  if len(embeddings) < 2 * num_groups:
    return []
  vectors = directions(embeddings)
  fitted = vectors[:: max(1, len(vectors) // _NUM_FITTED)]
  model = MiniBatchKMeans(num_groups, n_init=1, random_state=0)
  # Sums of several threads differ in their last digits from run to run.
  with threadpoolctl.threadpool_limits(limits=1):
    of_group = model.fit(fitted).predict(vectors)
  centres = model.cluster_centers_
  average = float(is_right.mean())
  found = []
  for number in range(num_groups):
    members = np.flatnonzero(of_group == number)
    right = is_right[members]
    if not len(members) or right.mean() > average - _GAP:
      continue
    by_chance = special.bdtr(right.sum(), len(members), average)
    if by_chance * num_groups < _CHANCE:
      gaps = np.linalg.norm(vectors[members] - centres[number], axis=1)
      order = np.lexsort((gaps, right))[:_NUM_EXAMPLES]
      found.append(Group(members, float(right.mean()), members[order]))
  return sorted(found, key=lambda group: group.accuracy)
