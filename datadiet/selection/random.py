"""Policies that keep random examples."""

import numpy as np

from datadiet.selection.interface import SelectionInputs


def random(
  inputs: SelectionInputs, num_keep: int, *, rng: np.random.Generator
) -> np.ndarray:
  """Keeps a uniform draw without replacement.

  The first num_keep places of one permutation, so that with one seed a
  smaller subset is part of every larger one.
  """
  return np.sort(rng.permutation(inputs.num_examples)[:num_keep])
