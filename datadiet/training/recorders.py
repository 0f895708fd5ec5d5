"""Recorders: arrays of each example that only some scores need.

A recorder has arrays with a row per example of the whole train split, and a
function that updates the rows of a batch after a training step. A score names
the recorders it needs; the arrays are part of the train state, so that a run
that was stopped resumes exactly.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

# Weight of the newest window in TDDS, as in its paper's experiments.
TDDS_DECAY = 0.9

Arrays = dict[str, jax.Array]


@dataclasses.dataclass(frozen=True)
class Sizes:
  """What the shapes of a recorder's arrays may depend on.

  Attributes:
    num_examples: N, of the whole train split.
    num_classes: number of logits.
    window: visits in a window, `train.dynamics_window`.
  """

  num_examples: int
  num_classes: int
  window: int


@dataclasses.dataclass(frozen=True)
class Visit:
  """A batch in a training pass: augmented, with the batch's statistics.

  Attributes:
    step: int32[], the optimizer step.
    labels: int32[batch].
    logits: float32[batch, num_classes].
    log_probs: float32[batch, num_classes].
    confidence: float32[batch], p_y.
    correct: bool[batch].
    visits_before: int32[batch], how often the run had trained on the example.
  """

  step: jax.Array | int
  labels: jax.Array
  logits: jax.Array
  log_probs: jax.Array
  confidence: jax.Array
  correct: jax.Array
  visits_before: jax.Array


@dataclasses.dataclass(frozen=True)
class Recorder:
  """Additional arrays for some scores of the training dynamics.

  Attributes:
    name: its name in checkpoints, and the prefix of its arrays' names, as in
      'windows.std_sum'.
    init: the arrays [N, ...] before the first visit, each of its own memory.
    update: (rows [batch, ...] of the arrays, visit) -> these rows after it.
  """

  name: str
  init: Callable[[Sizes], Arrays]
  update: Callable[[Arrays, Visit], Arrays]


def _put_in_ring(ring: jax.Array, position: jax.Array, value: jax.Array):
  """Replaces one column in each row of float32[batch, size]."""
  size = ring.shape[1]
  is_here = jnp.arange(size) == (position % size)[:, None]
  return jnp.where(is_here, value[:, None], ring)


def _init_windows(sizes: Sizes) -> Arrays:
  """Initial arrays for sliding windows of the last J visits.

  'confidence' float32[N, J], p_y of the last visits, a ring buffer; 'std_sum'
  float32[N], sum over windows of std(p_y), divisor J - 1; 'dual_sum'
  float32[N], sum over windows of std(p_y) (1 - mean(p_y)).
  """
  num = sizes.num_examples
  return {
    'confidence': jnp.zeros((num, sizes.window), jnp.float32),
    'std_sum': jnp.zeros(num, jnp.float32),
    'dual_sum': jnp.zeros(num, jnp.float32),
  }


def _update_windows(at: Arrays, visit: Visit) -> Arrays:
  """Adds a visit; the window that ends with it counts once it is full."""
  before = visit.visits_before
  ring = _put_in_ring(at['confidence'], before, visit.confidence)
  is_full = before + 1 >= ring.shape[1]
  std = jnp.std(ring, axis=1, ddof=1)
  dual = std * (1.0 - ring.mean(1))
  return {
    'confidence': ring,
    'std_sum': at['std_sum'] + jnp.where(is_full, std, 0.0),
    'dual_sum': at['dual_sum'] + jnp.where(is_full, dual, 0.0),
  }


def _init_changes(sizes: Sizes) -> Arrays:
  """Initial arrays for TDDS.

  'probs' float32[N, num_classes], the prediction at the last visit;
  'divergence' float32[N, J - 1], KL(this visit || the visit before) of the last
  visits, a ring buffer; 'score' float32[N], exponential mean over windows of
  the norm of the divergences' deviations from their mean.
  """
  num = sizes.num_examples
  return {
    'probs': jnp.zeros((num, sizes.num_classes), jnp.float32),
    'divergence': jnp.zeros((num, sizes.window - 1), jnp.float32),
    'score': jnp.zeros(num, jnp.float32),
  }


def _update_changes(at: Arrays, visit: Visit) -> Arrays:
  """Adds a visit; its divergence needs a visit before it."""
  before = visit.visits_before
  probs = jnp.exp(visit.log_probs)
  # p log(p / q) is 0 at p = 0; q is bounded away from 0, as probabilities
  # that underflow say nothing of their ratio.
  tiny = jnp.float32(1e-8)
  log_ratio = jnp.log(probs + tiny) - jnp.log(at['probs'] + tiny)
  divergence = jnp.sum(probs * log_ratio, 1)
  size = at['divergence'].shape[1]
  ring = _put_in_ring(at['divergence'], before - 1, divergence)
  ring = jnp.where((before > 0)[:, None], ring, at['divergence'])
  # Until it is full, the window covers the visits so far.
  num_filled = jnp.minimum(before, size)[:, None]
  is_filled = jnp.arange(size) < num_filled
  mean = jnp.sum(ring, 1, keepdims=True) / jnp.maximum(num_filled, 1)
  deviations = jnp.where(is_filled, ring - mean, 0.0)
  depth = jnp.sqrt(jnp.sum(jnp.square(deviations), 1))
  # Values of partial windows are dropped at the first full one.
  score = jnp.where(before > size, at['score'], 0.0)
  return {
    'probs': probs,
    'divergence': ring,
    'score': TDDS_DECAY * depth + (1.0 - TDDS_DECAY) * score,
  }


def _init_margins(sizes: Sizes) -> Arrays:
  """'mean' float32[N], of p_y minus the largest other p_k at the visits."""
  return {'mean': jnp.zeros(sizes.num_examples, jnp.float32)}


def _update_margins(at: Arrays, visit: Visit) -> Arrays:
  """Adds a visit."""
  is_label = jnp.arange(visit.log_probs.shape[1]) == visit.labels[:, None]
  others = jnp.where(is_label, 0.0, jnp.exp(visit.log_probs)).max(1)
  change = visit.confidence - others - at['mean']
  return {'mean': at['mean'] + change / (visit.visits_before + 1)}


WINDOWS = Recorder('windows', _init_windows, _update_windows)
CHANGES = Recorder('changes', _init_changes, _update_changes)
MARGINS = Recorder('margins', _init_margins, _update_margins)
