"""Scores that need one forward pass of the network, in eval mode.

p = softmax(logits), y the label, e = p - onehot(y).
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp

from datadiet.scoring.score import (
  FEATURES,
  FORWARD,
  PAUL,
  PREDECESSOR,
  Score,
)
from datadiet.workdir import top_probs


@dataclasses.dataclass(frozen=True)
class Outputs:
  """A network's outputs for a batch, computed once for all scores.

  Attributes:
    logits: float32[batch, num_classes].
    labels: int32[batch].
    is_label: bool[batch, num_classes], true at y.
    log_probs: float32[batch, num_classes].
    probs: float32[batch, num_classes].
    error: float32[batch, num_classes], e with e_y = -sum of the other p_k:
      p_y - 1 would lose every digit for confident examples.
    features: float32[batch, num_features], input of the last dense layer; None
      where no score needs it.
  """

  logits: jax.Array
  labels: jax.Array
  is_label: jax.Array
  log_probs: jax.Array
  probs: jax.Array
  error: jax.Array
  features: jax.Array | None = None


def make_outputs(
  logits: jax.Array, labels: jax.Array, features: jax.Array | None = None
) -> Outputs:
  """Outputs from float32[batch, num_classes] logits and int32[batch] labels."""
  logits = logits.astype(jnp.float32)
  is_label = jax.nn.one_hot(labels, logits.shape[-1], dtype=bool)
  log_probs = jax.nn.log_softmax(logits)
  probs = jnp.exp(log_probs)
  others = jnp.where(is_label, 0.0, probs)
  rest = others.sum(-1, keepdims=True)
  return Outputs(
    logits=logits,
    labels=labels,
    is_label=is_label,
    log_probs=log_probs,
    probs=probs,
    error=jnp.where(is_label, -rest, others),
    features=features,
  )


def most_probable(probs: jax.Array) -> tuple[jax.Array, jax.Array]:
  """What `TopProbs` keeps of each example.

  Args:
    probs: float32[batch, num_classes].

  Returns:
    int16 or int32[batch, k], the most probable classes; float32[batch, k].
  """
  num_classes = probs.shape[-1]
  num_kept = min(top_probs.NUM_KEPT, num_classes)
  kept, classes = jax.lax.top_k(probs, num_kept)
  return classes.astype(top_probs.class_type(num_classes)), kept


def el2n(outputs: Outputs) -> jax.Array:
  """L2 norm of e (Paul et al. 2021)."""
  return jnp.sqrt(jnp.sum(jnp.square(outputs.error), -1))


def el1n(outputs: Outputs) -> jax.Array:
  """L1 norm of e, the predecessor's l1_error."""
  return jnp.sum(jnp.abs(outputs.error), -1)


def _others_minus_label(outputs: Outputs) -> jax.Array:
  own = jnp.sum(jnp.where(outputs.is_label, outputs.probs, 0.0), -1)
  return outputs.probs - own[:, None]


def max_margin(outputs: Outputs) -> jax.Array:
  """Max over k != y of p_k - p_y, the predecessor's."""
  difference = _others_minus_label(outputs)
  return jnp.max(jnp.where(outputs.is_label, -jnp.inf, difference), -1)


def sum_margin(outputs: Outputs) -> jax.Array:
  """Sum over k != y of p_k - p_y, the predecessor's."""
  difference = _others_minus_label(outputs)
  return jnp.sum(jnp.where(outputs.is_label, 0.0, difference), -1)


def loss(outputs: Outputs) -> jax.Array:
  """Cross-entropy, -log p_y = log(1 + sum over k != y of exp(z_k - z_y)).

  As a soft plus, so that confident examples keep their digits, also in the
  gradient: by the chain rule its e_y is minus the sum of the other p_k.
  """
  own = jnp.sum(jnp.where(outputs.is_label, outputs.logits, 0.0), -1)
  others = jnp.where(outputs.is_label, -jnp.inf, outputs.logits - own[:, None])
  return jax.nn.softplus(jax.nn.logsumexp(others, -1))


def entropy(outputs: Outputs) -> jax.Array:
  """Entropy of p in nats.

  With m the largest logit and R the sum over k != m of exp(z_k - z_m), log p_m
  is -log(1 + R), which keeps its digits where p_m is nearly 1.
  """
  top = jnp.argmax(outputs.logits, -1)
  is_top = jax.nn.one_hot(top, outputs.logits.shape[-1], dtype=bool)
  below = outputs.logits.max(-1, keepdims=True) - outputs.logits
  others = jnp.where(is_top, 0.0, jnp.exp(-below))
  rest = others.sum(-1)
  # A logit of -inf has no probability, and no part in the sum.
  terms = jnp.where(others > 0, others * below, 0.0).sum(-1)
  return jnp.log1p(rest) + terms / (1.0 + rest)


def confidence(outputs: Outputs) -> jax.Array:
  """p_y."""
  return jnp.sum(jnp.where(outputs.is_label, outputs.probs, 0.0), -1)


def least_confidence(outputs: Outputs) -> jax.Array:
  """1 - max over k of p_k, as the sum of the others, which keeps its digits."""
  top = jnp.argmax(outputs.logits, -1)
  is_top = jax.nn.one_hot(top, outputs.logits.shape[-1], dtype=bool)
  return jnp.sum(jnp.where(is_top, 0.0, outputs.probs), -1)


def margin(outputs: Outputs) -> jax.Array:
  """The largest p_k minus the next, whatever the label."""
  first, second = jax.lax.top_k(outputs.probs, 2)[0].T
  return first - second


def grand_last(outputs: Outputs) -> jax.Array:
  """Norm of the loss's gradient in the last dense layer, in closed form.

  The gradient in its kernel is the outer product of features and e, that in
  its bias is e: the norm is |e| sqrt(|features|^2 + 1).
  """
  assert outputs.features is not None  # The score needs them.
  length = jnp.sum(jnp.square(outputs.features), -1)
  return el2n(outputs) * jnp.sqrt(length + 1.0)


# Most scores here are higher for harder examples, and made of probabilities.
_score = functools.partial(
  Score, kind=FORWARD, higher_is='harder', based_on='probabilities'
)

FORWARD_SCORES: dict[str, Score] = {
  'el2n': _score(
    function=el2n, definition='|| p - onehot(y) ||_2', source=PAUL
  ),
  'el1n': _score(
    function=el1n, definition='|| p - onehot(y) ||_1', source=PREDECESSOR
  ),
  'max_margin': _score(
    function=max_margin,
    definition='max over k != y of p_k - p_y',
    source=PREDECESSOR,
  ),
  'sum_margin': _score(
    function=sum_margin,
    definition='sum over k != y of (p_k - p_y)',
    source=PREDECESSOR,
  ),
  'loss': _score(
    function=loss,
    definition='-log p_y',
    based_on='logits',
    source='cross-entropy',
  ),
  'entropy': _score(
    function=entropy,
    definition='-sum over k of p_k log p_k',
    source='Shannon entropy',
  ),
  'confidence': _score(
    function=confidence,
    definition='p_y',
    higher_is='easier',
    source='probability of the label',
  ),
  'least_confidence': _score(
    function=least_confidence,
    definition='1 - max over k of p_k',
    source='uncertainty sampling, as in DeepCore',
  ),
  'margin': _score(
    function=margin,
    definition='the largest p_k minus the second largest',
    higher_is='easier',
    source='uncertainty sampling, as in DeepCore',
  ),
  'grand_last': _score(
    function=grand_last,
    definition='norm of the gradient of -log p_y in the last dense layer',
    based_on='gradients',
    source='last-layer GraNd, as in DeepCore',
    needs=frozenset({FEATURES}),
  ),
}
