"""Predictions block by block, where they are too many to be held at once."""

from collections.abc import Iterator
from typing import Any, Protocol


class PredProbs(Protocol):
  """An array float32[N, num_classes], or what makes its rows when asked."""

  @property
  def shape(self) -> tuple[int, ...]: ...

  def __getitem__(self, key: Any, /) -> Any: ...

  def argmax(self, axis: int, /) -> Any: ...


def blocks(pred_probs: PredProbs, most: int | None = None) -> Iterator[slice]:
  """Slices of rows, one after the other.

  Args:
    pred_probs: an array, or what has a `block_size`, the rows that it is to
      be asked for at a time.
    most: the rows of an array at a time; None for all of them, which rounds
      products as one.
  """
  num_rows = pred_probs.shape[0]
  size = getattr(pred_probs, 'block_size', most or max(1, num_rows))
  for start in range(0, num_rows, size):
    yield slice(start, start + size)
