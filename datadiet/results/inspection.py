"""Reads what the inspection found."""

import dataclasses
import functools
from typing import Any

import numpy as np
import pandas as pd

from datadiet.errors import DataDietError
from datadiet.results import reading
from datadiet.results.results import Results
from datadiet.workdir import artifacts, tables

# Of an example that is a copy and not the one to keep.
DUPLICATE = 'duplicate'


@dataclasses.dataclass(frozen=True)
class Inspection:
  """The tables below inspection/, as `tables` describes them.

  Attributes:
    manifest: with thresholds, numbers and drift.
    pairs: of images that are the same or nearly so.
    groups: of these; which of each to keep.
    examples: measures and flags of each example, by example_index.
    bad_groups: that networks are bad at; without rows where none were found.
    shortcuts: properties and how well they tell the label.
  """

  manifest: dict[str, Any]
  pairs: pd.DataFrame
  groups: pd.DataFrame
  examples: pd.DataFrame
  bad_groups: pd.DataFrame
  shortcuts: pd.DataFrame

  @functools.cached_property
  def flags(self) -> dict[str, np.ndarray]:
    """Name of a flag -> bool[N]; those that no example has are left out."""
    listed = self.examples['flags'].str.split(';')
    names = [*self.manifest['flags']]
    found = {name: np.array([name in one for one in listed]) for name in names}
    dropped = self.groups.query("split == 'train' and keep == 0")
    is_copy = np.zeros(len(self.examples), bool)
    is_copy[dropped['example_index']] = True
    found = {DUPLICATE: is_copy} | found
    return {name: one for name, one in found.items() if one.any()}


def read_inspection(results: Results) -> Inspection | None:
  """What the inspection found; None where there was none.

  Raises:
    DataDietError: if it is damaged or of other data.
  """
  folder = results.workdir.inspection
  manifest = artifacts.read_manifest(folder)
  if manifest is None:
    return None
  fingerprint = results.dataset.get('fingerprint')
  if fingerprint:
    artifacts.check_fingerprint(manifest, fingerprint, folder)
  text = {name: str for name in ('id', 'id_a', 'id_b', 'flags', 'examples')}

  def read(name: str) -> pd.DataFrame:
    return reading.read_csv(folder / name, dtype=text)

  bad_groups = pd.DataFrame(columns=list(tables.BAD_GROUPS_COLUMNS))
  if (folder / tables.BAD_GROUPS).exists():
    bad_groups = read(tables.BAD_GROUPS)
  examples = read(tables.INSPECTED_EXAMPLES)
  if len(examples) != (results.num_examples or len(examples)):
    raise DataDietError(
      f'{folder / tables.INSPECTED_EXAMPLES} is damaged (it has '
      f'{len(examples)} rows, the data set {results.num_examples} examples); '
      'delete it to make it anew'
    )
  return Inspection(
    manifest,
    read(tables.NEAR_DUPLICATES),
    read(tables.DUPLICATE_GROUPS),
    examples,
    bad_groups,
    read(tables.SHORTCUTS),
  )
