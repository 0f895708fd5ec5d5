"""Training dynamics of each example in a run: forgetting, AUM, ...

The arrays live in the train state, one row per example of the whole train
split, and are updated inside the step by a scatter at example_index. The basics
cost 29 bytes per example; what `recorders.WINDOWS` adds for DUAL and Dyn-Unc
with windows of J visits 4 J + 8, what `recorders.CHANGES` adds for TDDS with C
classes 4 (C + J). That is 29, 77 and 109 bytes for CIFAR-10 with J = 10.
"""

import dataclasses
from collections.abc import Sequence

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from datadiet.errors import DataDietError
from datadiet.training.recorders import Arrays, Recorder, Sizes, Visit


@dataclasses.dataclass(frozen=True)
class DynamicsSettings:
  """What is recorded in addition to the basics.

  Attributes:
    window: visits in a window, for the recorders that have windows.
    recorders: what the scores asked for need.
    needed_by: (name of a recorder, name of a score that needs it), for
      messages.
  """

  window: int = 0
  recorders: tuple[Recorder, ...] = ()
  needed_by: tuple[tuple[str, str], ...] = ()

  def scores_that_need(self, path: str) -> list[str]:
    """The scores for which an array of the train state is recorded.

    Args:
      path: of the array, such as 'dynamics/recorded/windows/std_sum'.
    """
    return [
      score
      for recorder, score in self.needed_by
      if path.startswith(f'dynamics/recorded/{recorder}/')
    ]


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
    recorded: the arrays of each recorder, by its name.
  """

  visits: jax.Array
  last_correct: jax.Array
  forgetting_events: jax.Array
  num_correct: jax.Array
  first_correct_step: jax.Array
  margin_mean: jax.Array
  confidence_mean: jax.Array
  confidence_m2: jax.Array
  recorded: dict[str, Arrays] = flax.struct.field(default_factory=dict)


def init_dynamics(
  num_examples: int,
  *,
  num_classes: int = 0,
  settings: DynamicsSettings = DynamicsSettings(),  # noqa: B008, frozen.
) -> Dynamics:
  """The dynamics of a run before its first step.

  Args:
    num_examples: of the whole train split.
    num_classes: number of logits, for recorders whose arrays depend on it.
    settings: what is recorded beside the basics.
  """

  # One array a field: states are donated, and no buffer can be given twice.
  def values():
    return jnp.zeros(num_examples, jnp.float32)

  def counts():
    return jnp.zeros(num_examples, jnp.int32)

  sizes = Sizes(num_examples, num_classes, settings.window)
  return Dynamics(
    visits=counts(),
    last_correct=jnp.zeros(num_examples, jnp.int8),
    forgetting_events=counts(),
    num_correct=counts(),
    first_correct_step=counts() - 1,
    margin_mean=values(),
    confidence_mean=values(),
    confidence_m2=values(),
    recorded={
      recorder.name: recorder.init(sizes) for recorder in settings.recorders
    },
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
  recorders: Sequence[Recorder] = (),
) -> Dynamics:
  """Adds one visit of each example of a batch.

  Args:
    dynamics: before the visit.
    example_index: int32[batch]; each at most once.
    logits: float32[batch, num_classes], from the training pass.
    labels: int32[batch].
    step: int32[], the optimizer step of the visit.
    recorders: those that the dynamics were made with.

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
  visit = Visit(
    step=step,
    labels=labels,
    logits=logits,
    log_probs=log_probs,
    confidence=confidence,
    correct=correct,
    visits_before=at.visits,
  )
  new = Dynamics(
    visits=visits,
    last_correct=correct.astype(jnp.int8),
    forgetting_events=at.forgetting_events + forgotten,
    num_correct=at.num_correct + correct,
    first_correct_step=jnp.where(is_first, step, at.first_correct_step),
    margin_mean=at.margin_mean + (margin - at.margin_mean) / visits,
    confidence_mean=confidence_mean,
    confidence_m2=at.confidence_m2 + deviation * (confidence - confidence_mean),
    recorded={
      recorder.name: _updated(recorder, at.recorded[recorder.name], visit)
      for recorder in recorders
    },
  )
  return jax.tree.map(
    lambda array, value: array.at[example_index].set(
      value.astype(array.dtype), mode='drop', unique_indices=True
    ),
    dynamics,
    new,
  )


def _updated(recorder: Recorder, at: Arrays, visit: Visit) -> Arrays:
  new = recorder.update(at, visit)
  before, after = _described(at), _described(new)
  if before != after:
    raise DataDietError(
      f'the recorder {recorder.name!r} makes {", ".join(after)} of the rows '
      f'{", ".join(before)}; its update must keep names, shapes and dtypes'
    )
  return new


def _described(arrays: Arrays) -> list[str]:
  """One text an array, such as "'std_sum' float32[8]", by name."""
  return [
    f'{name!r} {array.dtype}{list(array.shape)}'
    for name, array in sorted(arrays.items())
  ]


def stored_arrays(
  dynamics: Dynamics, window: int, trained_on: np.ndarray
) -> dict[str, np.ndarray]:
  """What dynamics/step_<s>.npz holds: 'trained_on', 'window', arrays [N].

  Args:
    dynamics: of a run, on the host or a device.
    window: of `DynamicsSettings`.
    trained_on: int[M], the examples that the run trains on.
  """
  arrays = {
    name: np.asarray(array)
    for name, array in dynamics_arrays(dynamics).items()
    # The ring buffers are only needed to resume, and are in the checkpoint.
    if array.ndim == 1
  }
  return {
    'trained_on': trained_on,
    **arrays,
    'window': np.array(window, np.int32),
  }


def dynamics_arrays(dynamics: Dynamics) -> dict[str, jax.Array]:
  """All arrays by name, such as 'visits' and 'windows.std_sum'."""
  arrays = {
    field.name: getattr(dynamics, field.name)
    for field in dataclasses.fields(dynamics)
    if field.name != 'recorded'
  }
  for recorder, recorded in dynamics.recorded.items():
    arrays |= {f'{recorder}.{name}': recorded[name] for name in recorded}
  return arrays
