"""What each example did while a run trained on it: forgetting, AUM, ...

The arrays live in the train state, one row per example of the whole train
split, and are updated inside the step by a scatter at example_index. They cost
29 bytes per example; with the windows of J visits that DUAL and Dyn-Unc need,
4 J + 8 more; with what TDDS needs of C classes, 4 (C + J) more. That is 29, 77
and 157 bytes for CIFAR-10 with J = 10.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp

# Weight of the newest window in TDDS, as in its paper's experiments.
TDDS_DECAY = 0.9


@dataclasses.dataclass(frozen=True)
class DynamicsSettings:
  """What is recorded beside the basics.

  Attributes:
    window: visits in a window of DUAL, Dyn-Unc and TDDS; 0 to record none.
    prediction_changes: whether TDDS's are recorded too; needs a window.
  """

  window: int = 0
  prediction_changes: bool = False


@flax.struct.dataclass
class Windows:
  """Statistics over the sliding windows of the last J visits.

  Attributes:
    confidence: float32[N, J], p_y of the last visits, a ring buffer.
    std_sum: float32[N], sum over windows of std(p_y), divisor J - 1.
    dual_sum: float32[N], sum over windows of std(p_y) (1 - mean(p_y)).
  """

  confidence: jax.Array
  std_sum: jax.Array
  dual_sum: jax.Array


@flax.struct.dataclass
class PredictionChanges:
  """What TDDS goes by.

  Attributes:
    probs: float32[N, num_classes], the prediction at the last visit.
    divergence: float32[N, J - 1], KL(this visit || the visit before) of the
      last visits, a ring buffer.
    score: float32[N], exponential mean over windows of the norm of the
      divergences' deviations from their mean.
  """

  probs: jax.Array
  divergence: jax.Array
  score: jax.Array


@flax.struct.dataclass
class Dynamics:
  """Running statistics over the training visits of each example.

  Attributes:
    visits: int32[N], how often the run trained on the example.
    last_correct: int8[N], whether it was right at its last visit.
    forgetting_events: int32[N], times it went from right to wrong.
    num_correct: int32[N], visits at which it was right.
    first_correct_step: int32[N], step of the first of these; -1 for none.
    margin_mean: float32[N], mean of z_y - max over k != y of z_k (AUM).
    confidence_mean: float32[N], mean of p_y.
    confidence_m2: float32[N], sum of squared deviations of p_y.
    windows: over the last visits; None if not recorded.
    changes: of predictions; None if not recorded.
  """

  visits: jax.Array
  last_correct: jax.Array
  forgetting_events: jax.Array
  num_correct: jax.Array
  first_correct_step: jax.Array
  margin_mean: jax.Array
  confidence_mean: jax.Array
  confidence_m2: jax.Array
  windows: Windows | None = None
  changes: PredictionChanges | None = None


def init_dynamics(
  num_examples: int,
  *,
  num_classes: int = 0,
  settings: DynamicsSettings = DynamicsSettings(),  # noqa: B008, frozen.
) -> Dynamics:
  """Dynamics of a run that has seen nothing yet.

  Args:
    num_examples: of the whole train split.
    num_classes: needed for the changes of predictions only.
    settings: what is recorded beside the basics.
  """

  # One array a field: states are donated, and no buffer can be given twice.
  def values(*shape):
    return jnp.zeros((num_examples, *shape), jnp.float32)

  def counts():
    return jnp.zeros(num_examples, jnp.int32)

  windows = changes = None
  if settings.window:
    windows = Windows(values(settings.window), values(), values())
  if settings.prediction_changes:
    changes = PredictionChanges(
      values(num_classes), values(settings.window - 1), values()
    )
  return Dynamics(
    visits=counts(),
    last_correct=jnp.zeros(num_examples, jnp.int8),
    forgetting_events=counts(),
    num_correct=counts(),
    first_correct_step=counts() - 1,
    margin_mean=values(),
    confidence_mean=values(),
    confidence_m2=values(),
    windows=windows,
    changes=changes,
  )


def logit_margin(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """z_y minus the largest other logit.

  Args:
    logits: float32[batch, num_classes].
    labels: int32[batch].

  Returns:
    float32[batch]; positive where the example is classified rightly.
  """
  is_label = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
  own = jnp.sum(jnp.where(is_label, logits, 0.0), -1)
  return own - jnp.max(jnp.where(is_label, -jnp.inf, logits), -1)


def update_dynamics(
  dynamics: Dynamics,
  example_index: jax.Array,
  logits: jax.Array,
  labels: jax.Array,
  step: jax.Array | int,
) -> Dynamics:
  """Adds one visit of each example of a batch.

  Args:
    dynamics: before the visit.
    example_index: int32[batch]; each at most once.
    logits: float32[batch, num_classes], from the training pass.
    labels: int32[batch].
    step: int32[], the optimizer step of the visit.

  Returns:
    The dynamics after the visit. Means and deviations follow Welford, so that
    they stay exact over hundreds of visits.
  """
  at = jax.tree.map(lambda array: array[example_index], dynamics)
  correct = jnp.argmax(logits, -1) == labels
  log_probs = jax.nn.log_softmax(logits)
  confidence = jnp.exp(jnp.take_along_axis(log_probs, labels[:, None], 1)[:, 0])
  visits = at.visits + 1
  deviation = confidence - at.confidence_mean
  confidence_mean = at.confidence_mean + deviation / visits
  margin = logit_margin(logits, labels)
  forgotten = (at.last_correct == 1) & ~correct
  is_first = correct & (at.num_correct == 0)
  windows = changes = None
  if at.windows is not None:
    windows = _update_windows(at.windows, at.visits, confidence)
  if at.changes is not None:
    changes = _update_changes(at.changes, at.visits, log_probs)
  new = Dynamics(
    visits=visits,
    last_correct=correct.astype(jnp.int8),
    forgetting_events=at.forgetting_events + forgotten,
    num_correct=at.num_correct + correct,
    first_correct_step=jnp.where(is_first, step, at.first_correct_step),
    margin_mean=at.margin_mean + (margin - at.margin_mean) / visits,
    confidence_mean=confidence_mean,
    confidence_m2=at.confidence_m2 + deviation * (confidence - confidence_mean),
    windows=windows,
    changes=changes,
  )
  return jax.tree.map(
    lambda array, value: array.at[example_index].set(
      value.astype(array.dtype), mode='drop', unique_indices=True
    ),
    dynamics,
    new,
  )


def _put_in_ring(ring: jax.Array, position: jax.Array, value: jax.Array):
  """Replaces one column in each row of float32[batch, size]."""
  size = ring.shape[1]
  is_here = jnp.arange(size) == (position % size)[:, None]
  return jnp.where(is_here, value[:, None], ring)


def _update_windows(
  at: Windows, visits_before: jax.Array, confidence: jax.Array
) -> Windows:
  """One more visit; the window that ends with it counts once it is full."""
  ring = _put_in_ring(at.confidence, visits_before, confidence)
  is_full = visits_before + 1 >= ring.shape[1]
  std = jnp.std(ring, axis=1, ddof=1)
  return Windows(
    confidence=ring,
    std_sum=at.std_sum + jnp.where(is_full, std, 0.0),
    dual_sum=at.dual_sum + jnp.where(is_full, std * (1.0 - ring.mean(1)), 0.0),
  )


def _update_changes(
  at: PredictionChanges, visits_before: jax.Array, log_probs: jax.Array
) -> PredictionChanges:
  """One more visit; its divergence needs a visit before it."""
  probs = jnp.exp(log_probs)
  # p log(p / q) is 0 at p = 0; q is bounded away from 0, as probabilities
  # that underflow say nothing of their ratio.
  tiny = jnp.float32(1e-8)
  log_ratio = jnp.log(probs + tiny) - jnp.log(at.probs + tiny)
  divergence = jnp.sum(probs * log_ratio, 1)
  size = at.divergence.shape[1]
  ring = _put_in_ring(at.divergence, visits_before - 1, divergence)
  ring = jnp.where((visits_before > 0)[:, None], ring, at.divergence)
  # Until it is full, the window is of what there is.
  num_filled = jnp.minimum(visits_before, size)[:, None]
  is_filled = jnp.arange(size) < num_filled
  mean = jnp.sum(ring, 1, keepdims=True) / jnp.maximum(num_filled, 1)
  deviations = jnp.where(is_filled, ring - mean, 0.0)
  depth = jnp.sqrt(jnp.sum(jnp.square(deviations), 1))
  # What is not of a full window counts for nothing once there is one.
  before = jnp.where(visits_before > size, at.score, 0.0)
  return PredictionChanges(
    probs=probs,
    divergence=ring,
    score=TDDS_DECAY * depth + (1.0 - TDDS_DECAY) * before,
  )


def dynamics_arrays(dynamics: Dynamics) -> dict[str, jax.Array]:
  """All arrays by name, such as 'visits' and 'windows.std_sum'."""
  arrays = {}
  for field in dataclasses.fields(dynamics):
    value = getattr(dynamics, field.name)
    if dataclasses.is_dataclass(value):
      for inner in dataclasses.fields(value):
        arrays[f'{field.name}.{inner.name}'] = getattr(value, inner.name)
    elif value is not None:
      arrays[field.name] = value
  return arrays
