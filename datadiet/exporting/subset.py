"""The examples to be exported, with what the workdir has on them."""

import dataclasses
import functools
import os
from pathlib import Path

import numpy as np
from etils import epath

from datadiet.data import Dataset, load_dataset
from datadiet.data.settings import DatasetSettings
from datadiet.errors import DataDietError
from datadiet.results import Results, load_results
from datadiet.settings import closest, from_values
from datadiet.workdir import artifacts, storage

# The name of what every workdir can export: all train examples.
ALL = 'all'


@dataclasses.dataclass(frozen=True)
class Subset:
  """One selection of a workdir, of one run where they differ by run.

  Attributes:
    results: of the workdir.
    name: of the selection.
    example_index: int64[num_kept], ascending.
    step: the scored step that tables and sorting go by; None for the last.
  """

  results: Results
  name: str
  example_index: np.ndarray
  step: int | None = None

  @property
  def settings(self) -> DatasetSettings:
    """`config.dataset` of the workdir."""
    return from_values(DatasetSettings, self.results.config['dataset'])

  @functools.cached_property
  def dataset(self) -> Dataset:
    """The data, read when first asked for.

    Raises:
      DataDietError: if it cannot be read or is not what the workdir was made
        with.
    """
    where = self.results.workdir.root
    dataset = load_dataset(self.settings)
    made_with = self.results.dataset
    artifacts.check_fingerprint(made_with, dataset.fingerprint, where)
    if made_with.get('labels_fingerprint') != dataset.labels_fingerprint:
      raise DataDietError(
        f'{where} was made with other labels of the same data'
      )
    return dataset

  @property
  def source_name(self) -> str:
    """The data set's name without a version."""
    return self.dataset.name.partition(':')[0]

  @property
  def ids(self) -> list[str]:
    """The ids of the kept examples, in order."""
    return self.dataset.train.ids[self.example_index].tolist()

  @property
  def test_ids(self) -> list[str]:
    """The ids of all test examples, in canonical order.

    Read from the workdir if it has them, otherwise from the data.
    """
    stated = self.results.test_ids
    return self.dataset.test.ids.tolist() if stated is None else stated

  @property
  def originals(self) -> Path | epath.Path | None:
    """The folder that ids are paths in; None for data that is no folder."""
    if self.source_name != 'image_folder':
      return None
    if storage.is_remote(self.settings.data_dir):
      return epath.Path(self.settings.data_dir)
    return Path(self.settings.data_dir).expanduser().absolute()

  @property
  def labels_are_changed(self) -> bool:
    """Whether the labels are not those that the source of the data has."""
    return self.dataset.original_labels is not None

  @property
  def title(self) -> str:
    """A title in words."""
    total = self.dataset.train.num_examples
    return (
      f'{self.name}: {len(self.example_index):,} of {total:,} train examples '
      f'of {self.dataset.name}'
    )


def open_subset(
  workdir: str | os.PathLike,
  selection: str,
  *,
  run: int = 0,
  step: int | None = None,
) -> Subset:
  """Opens one selection of a workdir.

  Args:
    workdir: where; may be remote.
    selection: its name, as the folders of selections/ have it, or `ALL`.
    run: which draw, where each retraining has one of its own.
    step: the scored step that tables and sorting go by; None for the last.

  Raises:
    DataDietError: if there is no such workdir, selection, draw or step.
  """
  results = load_results(workdir)
  known = results.selections
  if selection not in {ALL, *known}:
    raise DataDietError(
      f'{results.workdir.root} has no selection {selection!r}; it has '
      f'{", ".join([*known, ALL])}{closest(selection, [*known, ALL])}'
    )
  if 'dataset' not in results.config:
    raise DataDietError(
      f'{results.workdir.config} does not say what the data is'
    )
  results.score_info(step)  # Refuses a step that was not scored.
  everything = np.arange(results.num_examples or 0)
  kept = known[selection].kept(run) if selection in known else everything
  return Subset(results, selection, kept, step)
