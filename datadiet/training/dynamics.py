"""What each example did while a run trained on it: forgetting, AUM, ...

The arrays live in the train state, one row per example of the whole train
split, and are updated inside the step by a scatter at example_index. They
cost 25 bytes per example.
"""

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class Dynamics:
  """Running statistics over the training visits of each example.

  Attributes:
    visits: int32[N], how often the run trained on the example.
    last_correct: int8[N], whether it was right at its last visit.
    forgetting_events: int32[N], times it went from right to wrong.
    num_correct: int32[N], visits at which it was right.
    margin_mean: float32[N], mean of z_y - max over k != y of z_k (AUM).
    confidence_mean: float32[N], mean of p_y.
    confidence_m2: float32[N], sum of squared deviations of p_y.
  """

  visits: jax.Array
  last_correct: jax.Array
  forgetting_events: jax.Array
  num_correct: jax.Array
  margin_mean: jax.Array
  confidence_mean: jax.Array
  confidence_m2: jax.Array


def init_dynamics(num_examples: int) -> Dynamics:
  """Dynamics of a run that has seen nothing yet."""
  # One array a field: states are donated, and no buffer can be given twice.
  return Dynamics(
    visits=jnp.zeros(num_examples, jnp.int32),
    last_correct=jnp.zeros(num_examples, jnp.int8),
    forgetting_events=jnp.zeros(num_examples, jnp.int32),
    num_correct=jnp.zeros(num_examples, jnp.int32),
    margin_mean=jnp.zeros(num_examples, jnp.float32),
    confidence_mean=jnp.zeros(num_examples, jnp.float32),
    confidence_m2=jnp.zeros(num_examples, jnp.float32),
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
) -> Dynamics:
  """Adds one visit of each example of a batch.

  Args:
    dynamics: before the visit.
    example_index: int32[batch]; each at most once.
    logits: float32[batch, num_classes], from the training pass.
    labels: int32[batch].

  Returns:
    The dynamics after the visit. Means and deviations follow Welford, so that
    they stay exact over hundreds of visits.
  """
  at = jax.tree.map(lambda array: array[example_index], dynamics)
  correct = jnp.argmax(logits, -1) == labels
  confidence = jnp.exp(
    jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1)[:, 0]
  )
  visits = at.visits + 1
  deviation = confidence - at.confidence_mean
  confidence_mean = at.confidence_mean + deviation / visits
  margin = logit_margin(logits, labels)
  forgotten = (at.last_correct == 1) & ~correct
  new = Dynamics(
    visits=visits,
    last_correct=correct.astype(jnp.int8),
    forgetting_events=at.forgetting_events + forgotten,
    num_correct=at.num_correct + correct,
    margin_mean=at.margin_mean + (margin - at.margin_mean) / visits,
    confidence_mean=confidence_mean,
    confidence_m2=at.confidence_m2 + deviation * (confidence - confidence_mean),
  )
  return jax.tree.map(
    lambda array, value: array.at[example_index].set(
      value.astype(array.dtype), mode='drop', unique_indices=True
    ),
    dynamics,
    new,
  )
