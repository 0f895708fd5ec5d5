"""Scores of predictions that were recorded epoch by epoch."""

import dataclasses
from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from datadiet.scoring import forward, registry
from datadiet.scoring.dynamics import score_of_dynamics
from datadiet.training.dynamics import (
  DynamicsSettings,
  init_dynamics,
  stored_arrays,
  update_dynamics,
)

# What the probability of the label alone tells.
_OF_LOSSES = (
  'loss',
  'confidence',
  'mean_confidence',
  'variability',
  'dual',
  'dyn_unc',
)
# Rows scored at once.
_CHUNK = 8192
_TINY = np.finfo(np.float64).tiny


@dataclasses.dataclass(frozen=True)
class Imported:
  """What one run's recorded predictions give.

  Attributes:
    scores: name -> float32[N].
    pred_probs: float32[N, num_classes] at the end; None from losses.
    dynamics: arrays as dynamics/step_<s>.npz holds them; {} for one epoch.
    has_zeros: whether a probability was exactly 0: what its logarithm goes
      into is wrong then.
  """

  scores: dict[str, np.ndarray]
  pred_probs: np.ndarray | None
  dynamics: dict[str, np.ndarray]
  has_zeros: bool


def names_of(
  kind: str, num_epochs: int, window: int, has_features: bool
) -> tuple[str, ...]:
  """The scores that predictions allow, in the registry's order.

  Args:
    kind: 'logits', 'probs' or 'losses'.
    num_epochs: that were recorded.
    window: `train.dynamics_window`.
    has_features: whether the inputs of every run's last layer are there too.
  """
  found = []
  for name, score in registry.SCORES.items():
    if score.kind == registry.DYNAMICS:
      least = window if registry.WINDOWS in score.needs else 2
      is_known = num_epochs >= least
    else:
      is_known = score.kind == registry.FORWARD and (
        registry.FEATURES not in score.needs or has_features
      )
    if is_known and (kind != 'losses' or name in _OF_LOSSES):
      found.append(name)
  return tuple(found)


def needing_logarithms(names: Iterable[str]) -> tuple[str, ...]:
  """The scores that logarithms of probabilities go into, in order."""
  return tuple(
    name
    for name in names
    if name == 'tdds' or registry.SCORES[name].based_on == 'logits'
  )


def as_logits(rows: np.ndarray, kind: str) -> np.ndarray:
  """float32[N, num_classes] logits, up to a constant for each example.

  Losses become two classes, the label first: its probability and the rest.

  Args:
    rows: float[N, num_classes], or of losses float[N].
    kind: 'logits', 'probs' or 'losses'.
  """
  if kind == 'losses':
    rows = np.asarray(rows, np.float64)
    others = np.log(np.maximum(-np.expm1(-rows), _TINY))
    rows = np.stack([-rows, others], axis=1)
  elif kind == 'probs':
    rows = np.log(np.maximum(rows, _TINY, dtype=np.float64))
  return rows.astype(np.float32)


def score_run(
  epochs: Iterable[np.ndarray],
  kind: str,
  labels: np.ndarray,
  names: tuple[str, ...],
  *,
  window: int,
  steps_per_epoch: int,
  features: np.ndarray | None = None,
) -> Imported:
  """The scores of one run: of the last epoch, and of all of them.

  Args:
    epochs: the rows of each epoch, at least one, as `as_logits` takes them.
    kind: 'logits', 'probs' or 'losses'.
    labels: int32[N].
    names: of `names_of`.
    window: `train.dynamics_window`.
    steps_per_epoch: optimizer steps that an epoch stands for.
    features: float32[N, d], for scores that need them.
  """
  dynamics_names = registry.of_kind(names, registry.DYNAMICS)
  recorders = registry.recorders_for(dynamics_names)
  shown_labels = np.zeros_like(labels) if kind == 'losses' else labels
  dynamics, num_epochs, has_zeros = None, 0, False
  everything = jnp.arange(len(labels))

  @jax.jit
  def visit(dynamics, logits, step):
    return update_dynamics(
      dynamics, everything, logits, jnp.asarray(shown_labels), step, recorders
    )

  for rows in epochs:
    has_zeros |= kind == 'probs' and bool((rows == 0).any())
    logits = as_logits(rows, kind)
    if dynamics is None:
      dynamics = init_dynamics(
        len(labels),
        num_classes=logits.shape[1],
        settings=DynamicsSettings(window=window, recorders=recorders),
      )
    dynamics = visit(dynamics, logits, num_epochs * steps_per_epoch)
    num_epochs += 1
  scores, probs = _forward_scores(logits, shown_labels, names, features)
  assert dynamics is not None  # There is an epoch.
  arrays = stored_arrays(dynamics, window, np.arange(len(labels)))
  for name in dynamics_names:
    step = np.array(num_epochs * steps_per_epoch)
    scores[name] = score_of_dynamics(
      registry.SCORES[name].function, {**arrays, 'step': step}
    )
  # Of losses nothing is known but the probability of the label.
  return Imported(
    scores=scores,
    pred_probs=None if kind == 'losses' else probs,
    dynamics=arrays if dynamics_names and kind != 'losses' else {},
    has_zeros=has_zeros,
  )


def _forward_scores(
  logits: np.ndarray,
  labels: np.ndarray,
  names: tuple[str, ...],
  features: np.ndarray | None,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
  """Scores of one pass, and probabilities; chunk by chunk."""
  found: dict[str, list[np.ndarray]] = {}
  for start in range(0, len(labels), _CHUNK):
    rows = slice(start, start + _CHUNK)
    outputs = forward.make_outputs(
      jnp.asarray(logits[rows]),
      jnp.asarray(labels[rows]),
      None if features is None else jnp.asarray(features[rows]),
    )
    values = {}
    for name in registry.of_kind(names, registry.FORWARD):
      function = registry.SCORES[name].function
      assert function is not None  # All forward scores have one.
      values[name] = function(outputs)
    for name, value in {**values, 'pred_probs': outputs.probs}.items():
      found.setdefault(name, []).append(np.asarray(value))
  arrays = {name: np.concatenate(parts) for name, parts in found.items()}
  return arrays, arrays.pop('pred_probs')
