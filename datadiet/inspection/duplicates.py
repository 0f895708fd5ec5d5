"""Images that occur twice: exact copies, near duplicates, groups of them.

Neighbours by embedding and by pixels are candidates. Both are near for many
images that only look alike, so a pair is a near duplicate if the pixels of one
can be laid over the other's (`registration`).
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import sparse

from datadiet.inspection import registration
from datadiet.inspection.neighbours import (
  cosine_neighbours,
  directions,
  nearest,
)
from datadiet.inspection.pixels import PixelFacts, squeezed

# Neighbours of each image that are candidates, by embedding and by pixels.
_BY_EMBEDDING, _BY_PIXELS = 10, 6
# Pixels a side that images are compared by at first.
_EDGE = 8
# Images of less contrast, the standard deviation of grey levels, are flat: they
# have nothing to be compared by.
_MIN_CONTRAST = 1.0
# Images whose candidates tell how far apart those usually are, and which of
# them, the nearest first: copies of an image fill up the first ones.
_NUM_SAMPLED, _USUAL = 100, 6
# A close look is taken at pairs that are nearer than this part of the usual
# distance at a quick look. Near duplicates are nearer than this times the
# cube of the usual distance: where all images look alike, as digits do, half
# of it is nothing special; and nearer than this, anyway. Or they are nearer by
# few pixels than this part of the usual distance there: what was compressed
# hard has lost its details. Measured on CIFAR-10 (docs/inspection.md).
_COARSE_FRACTION, _NEAR, _NEAREST, _CLOSE = 0.85, 0.24, 0.72, 0.23
# Images that are worked on at once; bounds the memory.
_BLOCK = 16_384
# By what a pair was found.
EXACT, EMBEDDING, PIXELS, BOTH = 'exact', 'embedding', 'pixels', 'both'


@dataclasses.dataclass(frozen=True)
class Pairs:
  """Pairs of images that are the same or nearly so, the nearest first.

  Positions count through the train split and then the test split.

  Attributes:
    first: int64[P], in the train split.
    second: int64[P], behind the first.
    distance: float64[P], 0 to 2; 0 for exact copies.
    found_by: str[P], EXACT, EMBEDDING, PIXELS or BOTH.
    threshold: near pairs are nearer.
  """

  first: np.ndarray
  second: np.ndarray
  distance: np.ndarray
  found_by: np.ndarray
  threshold: float


def find_pairs(
  facts: PixelFacts, num_train: int, embeddings: np.ndarray | None = None
) -> Pairs:
  """Duplicates inside the train split and between train and test.

  Args:
    facts: of the train and then the test images.
    num_train: how many are of the train split.
    embeddings: float32[E, d], of the first E images; None for none.
  """
  first = _first_equal(facts.digests)
  is_copy = first != np.arange(len(first))
  exact = np.stack([first[is_copy], np.flatnonzero(is_copy)], 1)
  exact = exact[exact[:, 0] < num_train]
  # Of equal images the first stands for all.
  can_be_seen = ~is_copy & (facts.properties['contrast'] >= _MIN_CONTRAST)
  by_pixels, gap, close = _pixel_candidates(facts.grey, can_be_seen)
  by_embedding = np.zeros((0, 2), np.int64)
  if embeddings is not None and len(embeddings) > 1:
    num = min(_BY_EMBEDDING, len(embeddings) - 1)
    # Columns of equal weight: features of a network differ widely in size.
    spread = embeddings.std(0)
    scaled = (embeddings - embeddings.mean(0)) / np.where(spread, spread, 1)
    _, positions = cosine_neighbours(scaled, num)
    by_embedding = _as_pairs(np.arange(len(embeddings)), positions)
  both = np.concatenate([by_pixels, by_embedding])
  both = both[(both[:, 0] < num_train) & can_be_seen[both].all(1)]
  near, distance, threshold = _confirmed(facts.grey, np.unique(both, axis=0))
  is_close = (gap < close) & (by_pixels[:, 0] < num_train)
  near = np.concatenate([near, by_pixels[is_close]])
  distance = np.concatenate([distance, gap[is_close]])
  order = np.lexsort((near[:, 1], near[:, 0], distance))
  # Of a pair that both found, the nearer.
  _, where = np.unique(_rows(near[order]), return_index=True)
  order = order[np.sort(where)]
  near, distance = near[order], distance[order]
  pixel, embedded = (
    np.isin(_rows(near), _rows(found)) for found in (by_pixels, by_embedding)
  )
  found_by = np.where(
    pixel & embedded, BOTH, np.where(pixel, PIXELS, EMBEDDING)
  )
  pairs = np.concatenate([exact, near])
  return Pairs(
    pairs[:, 0],
    pairs[:, 1],
    np.concatenate([np.zeros(len(exact)), distance]),
    np.concatenate([np.full(len(exact), EXACT), found_by]),
    threshold,
  )


def _rows(pairs: np.ndarray) -> np.ndarray:
  """A number for each pair, the same for the same pair: int64[P]."""
  return pairs[:, 0] * np.int64(2**31) + pairs[:, 1]


def _first_equal(digests: np.ndarray) -> np.ndarray:
  """The first image with the same content as each: int64[N]."""
  _, first, group = np.unique(digests, return_index=True, return_inverse=True)
  return first[group]


def _as_pairs(queries: np.ndarray, positions: np.ndarray) -> np.ndarray:
  """(lower, higher) of each image and its neighbours: int64[P, 2]."""
  others = positions.ravel()
  own = np.repeat(queries, positions.shape[1])
  return np.stack([np.minimum(own, others), np.maximum(own, others)], 1)


def _in_blocks(
  function: Callable[[np.ndarray], np.ndarray], rows: np.ndarray
) -> np.ndarray:
  """What a function makes of rows, a part at a time: bounds the memory."""
  starts = range(0, len(rows), _BLOCK)
  return np.concatenate([function(rows[i : i + _BLOCK]) for i in starts])


def _pixel_candidates(
  grey: np.ndarray, can_be_seen: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
  """Neighbours by few pixels, as images are and mirrored.

  Returns:
    int64[P, 2]; their distances there, float64[P]; and the distance below which
    these alone say that it is a copy.
  """
  seen = np.flatnonzero(can_be_seen)
  num = min(_BY_PIXELS, len(seen) - 1)
  if num < 1:
    return np.zeros((0, 2), np.int64), np.zeros(0), 0.0
  small = _in_blocks(
    lambda rows: squeezed(grey[rows].astype(np.float32), _EDGE), seen
  )
  compared, mirrored = (
    directions(flat - flat.mean(1, keepdims=True))
    for flat in (
      small.reshape(len(small), -1),
      small[:, :, ::-1].reshape(len(small), -1),
    )
  )
  gaps, positions = (
    np.concatenate(both)
    for both in zip(
      nearest(compared, num), nearest(compared, num, mirrored), strict=True
    )
  )
  close = _CLOSE * float(np.median(gaps[: len(seen), -1]))
  pairs = _as_pairs(np.concatenate([seen, seen]), seen[positions])
  # An image may be its own mirror image.
  is_pair = pairs[:, 0] != pairs[:, 1]
  return pairs[is_pair], gaps.ravel()[is_pair], close


def _confirmed(
  grey: np.ndarray, candidates: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
  """The candidates that can be laid over each other.

  Returns:
    int64[P, 2], their distances float64[P], and the threshold of these.
  """
  if not len(candidates):
    return candidates, np.zeros(0), 0.0
  halves = _in_blocks(
    lambda images: registration.halved(registration.detail(images)), grey
  )
  coarse = registration.coarse_distance(halves, *candidates.T)
  sampled, image = _sample(candidates)
  usual = _usual_distance(coarse[sampled], image)
  candidates = np.concatenate(
    [candidates[coarse < _COARSE_FRACTION * usual], candidates[sampled]]
  )
  distance = registration.distance(grey, *candidates.T)
  num_close = len(candidates) - len(sampled)
  usual = _usual_distance(distance[num_close:], image)
  threshold = min(_NEAREST, _NEAR * usual**3)
  candidates, distance = candidates[:num_close], distance[:num_close]
  is_near = distance < threshold
  return candidates[is_near], distance[is_near], threshold


def _sample(candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Candidates of some images: their positions and the image of each."""
  images = np.unique(candidates)
  rng = np.random.default_rng(0)
  chosen = rng.choice(images, min(_NUM_SAMPLED, len(images)), replace=False)
  found = [
    (np.flatnonzero(hit), candidates[hit, end])
    for end in (0, 1)
    for hit in [np.isin(candidates[:, end], chosen)]
  ]
  positions, image = (np.concatenate(part) for part in zip(*found, strict=True))
  return positions, image


def _usual_distance(distance: np.ndarray, image: np.ndarray) -> float:
  """The median over images of the distance to a late candidate."""
  order = np.lexsort((distance, image))
  _, starts, counts = np.unique(
    image[order], return_index=True, return_counts=True
  )
  late = starts + np.minimum(_USUAL, counts) - 1
  return float(np.median(distance[order][late]))


def groups_of(first: npt.ArrayLike, second: npt.ArrayLike) -> np.ndarray:
  """The group of each pair, those with an image in common: int64[P].

  Numbered from 0 in the order that they are first seen in.
  """
  first, second = np.asarray(first, np.int64), np.asarray(second, np.int64)
  if not len(first):
    return np.zeros(0, np.int64)
  size = int(max(first.max(), second.max())) + 1
  graph = sparse.coo_array((np.ones(len(first)), (first, second)), (size, size))
  _, members = sparse.csgraph.connected_components(graph, directed=False)
  _, where, group = np.unique(
    members[first], return_index=True, return_inverse=True
  )
  place = np.empty(len(where), np.int64)
  place[np.argsort(where)] = np.arange(len(where))
  return place[group]


def best_copies(
  members: np.ndarray,
  group: np.ndarray,
  num_train: int,
  sharpness: np.ndarray,
  agreement: np.ndarray | None = None,
  area: np.ndarray | None = None,
  is_used: np.ndarray | None = None,
) -> np.ndarray:
  """Which image of each group to keep: bool[members].

  Where one is a test image, the test images: what a network is judged by must
  not be among what it learned. Else one that is trained on, whose neighbours
  agree with its label, then the largest, then the sharpest, then the first.

  Args:
    members: int64[M], counted through train and test.
    group: int64[M], of each member.
    num_train: how many images are of the train split.
    sharpness: float[N], of all images, higher where sharper.
    agreement: float[num_train], the share of neighbours with the label.
    area: float[N], of the files that images are from, in pixels.
    is_used: bool[num_train], whether it is trained on; None where all are.
  """
  in_test = members >= num_train
  keys = [members, -sharpness[members]]
  if area is not None:
    keys.append(-area[members])
  if agreement is not None:
    doubtful = np.zeros(len(members))
    doubtful[~in_test] = agreement[members[~in_test]] < 0.5
    keys.append(doubtful)
  if is_used is not None:
    left_out = np.zeros(len(members), bool)
    left_out[~in_test] = ~is_used[members[~in_test]]
    keys.append(left_out)
  order = np.lexsort((*keys, ~in_test, group))
  is_first = np.ones(len(order), bool)
  is_first[1:] = np.diff(group[order]) != 0
  best = np.zeros(len(members), bool)
  best[order[is_first]] = True
  return best | in_test
