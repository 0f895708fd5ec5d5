"""One selection as it was read from a workdir."""

import dataclasses
from typing import Any

import numpy as np

from datadiet.errors import DataDietError


@dataclasses.dataclass(frozen=True)
class Selection:
  """One subset of the train split, or one for each run.

  Attributes:
    name: of its folder.
    policy: the name of the policy that made it.
    score: the score that the policy read; None where it read none.
    step: the optimizer step of that score; None likewise.
    num_kept: the number of examples kept.
    fraction: num_kept / num_examples.
    class_balanced: whether every class was selected from on its own.
    options: the policy's parameters.
    made_from: the arrays that it was made from, of 'scores', 'features' and so
      on.
    example_index: run -> int64[num_kept], ascending; a single key None where
      all runs share the selection.
  """

  name: str
  policy: str
  score: str | None
  step: int | None
  num_kept: int
  fraction: float | None
  class_balanced: bool
  options: dict[str, Any]
  made_from: tuple[str, ...]
  # Not in what is printed: thousands of numbers a selection.
  example_index: dict[int | None, np.ndarray] = dataclasses.field(repr=False)

  @classmethod
  def of(
    cls,
    name: str,
    manifest: dict[str, Any],
    arrays: dict[int | None, np.ndarray],
    num_examples: int | None,
  ) -> 'Selection':
    """Builds a selection from a manifest and its arrays.

    Args:
      name: of the folder.
      manifest: of one of its draws.
      arrays: as `example_index`.
      num_examples: of the train split; None if it is not known.
    """
    num_kept = len(next(iter(arrays.values())))
    fraction = manifest.get('fraction')
    if fraction is None and num_examples:
      fraction = num_kept / num_examples
    return cls(
      name=name,
      policy=manifest.get('policy', 'random'),
      score=manifest.get('score'),
      step=manifest.get('step'),
      num_kept=num_kept,
      fraction=fraction,
      class_balanced=bool(manifest.get('class_balanced', False)),
      options=dict(manifest.get('options') or {}),
      made_from=tuple(manifest.get('made_from') or ()),
      example_index=arrays,
    )

  @property
  def differs_by_run(self) -> bool:
    """Whether each run has a draw of its own."""
    return None not in self.example_index

  def kept(self, run: int = 0) -> np.ndarray:
    """The examples kept in a run, int64[num_kept], ascending.

    Raises:
      DataDietError: if there is no draw for this run.
    """
    key = run if self.differs_by_run else None
    if key not in self.example_index:
      raise DataDietError(
        f'selection {self.name} has no draw for run {run}, only for '
        f'{sorted(key for key in self.example_index if key is not None)}'
      )
    return self.example_index[key]
