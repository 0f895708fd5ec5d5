"""Randomness as a function of (seed, run, stream, epoch), with no state.

A stream is a number that keeps random bits for different purposes apart. Never
renumber one: resumed runs and published scores depend on them.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
  import jax

# Streams of `generator`, on the host.
ORDER_STREAM = 1
SUBSET_STREAM = 2
LABEL_NOISE_STREAM = 3
ROUND_STREAM = 4
PRUNING_STREAM = 5
THRESHOLD_SAMPLE_STREAM = 6
FOLD_STREAM = 7
CROP_STREAM = 8

# Streams of `run_key`, on the devices.
INIT_STREAM = 1
AUGMENTATION_STREAM = 2
MODEL_STREAM = 3


def generator(
  seed: int, run: int, stream: int, epoch: int = 0
) -> np.random.Generator:
  """A numpy generator of its own for (seed, run, stream, epoch or step)."""
  return np.random.default_rng([seed, run, stream, epoch])


def run_key(seed: int, run: int, stream: int) -> 'jax.Array':
  """The raw key uint32[2] of one stream of one run."""
  # Imported late: readers of data and results shuffle too, without JAX.
  import jax

  key = jax.random.fold_in(jax.random.key(seed), run)
  return jax.random.key_data(jax.random.fold_in(key, stream))
