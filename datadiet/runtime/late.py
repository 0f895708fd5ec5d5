"""Arrays on the host that are made where, and as far as, they are sent."""

import abc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np


class LateArray(abc.ABC):
  """An array on the host that is made part by part, where a part is sent.

  Attributes:
    shape: of the whole.
    dtype: of its values.
  """

  shape: tuple[int, ...]
  dtype: np.dtype

  @abc.abstractmethod
  def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
    """Makes a part: a slice for each of the first dimensions."""


def made(leaf: Any) -> Any:
  """The whole of a `LateArray`; anything else as it is."""
  if isinstance(leaf, LateArray):
    return leaf[(slice(None),) * len(leaf.shape)]
  return leaf


def parts_of(leaf: Any, indices: Sequence[Any]) -> list:
  """Parts of an array; those of a `LateArray` are made side by side.

  One after the other they would keep few of a host's cores busy.
  """
  if not isinstance(leaf, LateArray):
    return [leaf[index] for index in indices]
  with ThreadPoolExecutor(len(indices)) as threads:
    return list(threads.map(leaf.__getitem__, indices))
