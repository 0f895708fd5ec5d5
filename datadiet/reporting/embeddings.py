"""What the page has of embeddings: nearest neighbours, and the map."""

import numpy as np

from datadiet.reporting.audit import Audit
from datadiet.results import Results
from datadiet.workdir import artifacts, tables

# Neighbours beside an example, and of how many examples the page has them.
NUM_BESIDE = 8
_MAX_ROWS = 50_000


def embedding_arrays(
  results: Results, audit: Audit | None
) -> dict[str, np.ndarray]:
  """The map, and neighbours of the examples that are most likely reviewed.

  Args:
    results: of the workdir.
    audit: the suspected label errors; the most suspicious come first.

  Returns:
    What of these the workdir has: map, as of `map_points`; neighbour_of,
    int32[rows], examples; neighbours, int32[rows, k], the nearest first.

  Raises:
    DataDietError: if they are damaged.
  """
  places = map_points(results)
  arrays = {} if places is None else {'map': places}
  neighbours = _array(results, tables.NEIGHBOUR_INDEX)
  if neighbours is None:
    return arrays
  rows = np.arange(len(neighbours))
  if audit is not None:
    rows = np.argsort(-np.nan_to_num(audit.suspicion), kind='stable')
  rows = rows[:_MAX_ROWS].astype(np.int32)
  return arrays | {
    'neighbour_of': rows,
    'neighbours': neighbours[rows, :NUM_BESIDE].astype(np.int32),
  }


def map_points(results: Results) -> np.ndarray | None:
  """The map of the train split, in as few bytes as a screen has use for.

  Args:
    results: of the workdir.

  Returns:
    uint16[N, 2]: x to the right and y down, the longer side from 0 to 65535;
    None where the workdir has no map.

  Raises:
    DataDietError: if it is damaged.
  """
  places = _array(results, tables.MAP)
  if places is None:
    return None
  places = places.astype(np.float64) * (1, -1)
  places -= places.min(0)
  return np.round(places / (places.max() or 1.0) * 65535).astype(np.uint16)


def _array(results: Results, name: str) -> np.ndarray | None:
  """An array of the inspection, by example_index; None if there is none."""
  path = results.workdir.inspection / name
  if not path.exists():
    return None
  return artifacts.read_npy(path, results.num_examples)
