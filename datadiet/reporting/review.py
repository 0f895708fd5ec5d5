"""What the page's review needs: whose decisions, and the nearest neighbours."""

import numpy as np

from datadiet.reporting.audit import Audit
from datadiet.results import Results
from datadiet.workdir import artifacts

# Neighbours beside an example, and of how many examples the page has them.
NUM_BESIDE = 8
_MAX_ROWS = 50_000


def neighbour_arrays(
  results: Results, audit: Audit | None
) -> dict[str, np.ndarray]:
  """The nearest neighbours of the examples that are most likely reviewed.

  Args:
    results: of the workdir.
    audit: the suspected label errors; the most suspicious come first.

  Returns:
    neighbour_of, int32[rows], the examples; neighbours, int32[rows, k], the
    nearest first. {} where the workdir has no neighbours.

  Raises:
    DataDietError: if they are damaged.
  """
  path = results.workdir.root / 'inspection' / 'neighbour_index.npy'
  if not path.exists():
    return {}
  neighbours = artifacts.read_npy(path, results.num_examples)
  rows = np.arange(len(neighbours))
  if audit is not None:
    rows = np.argsort(-np.nan_to_num(audit.suspicion), kind='stable')
  rows = rows[:_MAX_ROWS].astype(np.int32)
  return {
    'neighbour_of': rows,
    'neighbours': neighbours[rows, :NUM_BESIDE].astype(np.int32),
  }
