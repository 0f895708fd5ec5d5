"""The passes that make scores: which scores share one, and what it computes."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from datadiet.errors import DataDietError
from datadiet.feeding.augmentation import normalise
from datadiet.scoring import features, forward, registry
from datadiet.scoring.gradient import make_gradient_step
from datadiet.scoring.settings import GradientSettings
from datadiet.training.steps import apply_model
from datadiet.workdir import top_probs

# The arrays that a forward pass can return beside scores.
PREDICTION, FEATURES = 'prediction', 'features'
PRED_PROBS, TOP_PROBS = top_probs.WHOLE, top_probs.PROBS


def make_score_step(
  model: nn.Module,
  names: Sequence[str],
  *,
  mean: np.ndarray | None,
  std: np.ndarray | None,
  keep: Collection[str] = (),
  gradient: GradientSettings = GradientSettings(),  # noqa: B008, frozen.
  trainable: str = 'all',
  platform: str | None = None,
) -> Callable:
  """One pass for all the scores of a kind.

  Args:
    model: the network.
    names: scores; all 'forward' and 'data', or all 'gradient'.
    mean: float32[channels], for normalisation.
    std: float32[channels].
    keep: with forward scores, also 'pred_probs', 'features', and 'top_probs',
      which comes with 'top_classes'.
    gradient: of the gradient pass.
    trainable: what gradients are of, see `trainable.is_trained`.
    platform: what it is to run on; that of JAX's devices if None.

  Returns:
    (variables, images uint8[batch, ...], labels int32[batch]) ->
    name -> [batch, ...].
  """
  gradient_names = registry.of_kind(names, registry.GRADIENT)
  gradient_step = make_gradient_step(
    model, gradient_names, gradient, trainable, platform
  )
  forward_names = registry.of_kind(names, registry.FORWARD)
  needs_features = FEATURES in keep or bool(
    registry.needing(names, registry.FEATURES)
  )

  def score_step(variables, images, labels):
    if mean is not None:
      images = normalise(images, mean, std)
    scores = {
      name: registry.SCORES[name].function(images)
      for name in registry.of_kind(names, registry.DATA)
    }
    if gradient_names:
      scores |= gradient_step(variables, images, labels)
    if forward_names or keep:
      logits, sown = forward_pass(model, variables, images, needs_features)
      outputs = forward.make_outputs(logits, labels, sown)
      for name in forward_names:
        scores[name] = registry.SCORES[name].function(outputs)
      scores[PREDICTION] = logits.argmax(-1).astype('int32')
      if PRED_PROBS in keep:
        scores[PRED_PROBS] = outputs.probs
      if TOP_PROBS in keep:
        kept = forward.most_probable(outputs.probs)
        scores |= dict(zip(top_probs.TOP_ARRAYS, kept, strict=True))
      if FEATURES in keep:
        scores[FEATURES] = sown
    return scores

  return score_step


def forward_pass(
  model: nn.Module,
  variables: Mapping[str, Any],
  images: jax.Array,
  needs_features: bool,
) -> tuple[jax.Array, jax.Array | None]:
  """Logits, and the features that the model sows.

  Raises:
    DataDietError: if features are needed and the model sows none.
  """
  if not needs_features:
    logits, _ = apply_model(
      model, variables['params'], variables['batch_stats'], images, train=False
    )
    return logits, None
  inputs = {name: variables[name] for name in ('params', 'batch_stats')}
  logits, sown = model.apply(
    inputs, images, train=False, mutable=[features.COLLECTION]
  )
  sown = sown.get(features.COLLECTION, {})
  if features.NAME not in sown:
    raise DataDietError(
      f'{type(model).__name__} sows no features: grand_last and kept features '
      f'need {features.HOW}'
    )
  return logits, sown[features.NAME][0].astype(jnp.float32)


def pass_groups(
  names: Sequence[str], keep: bool = False
) -> list[tuple[str, ...]]:
  """Splits scores into those that share a pass.

  Args:
    names: scores; those that need no pass are left out.
    keep: whether there is something to keep from a forward pass.

  Returns:
    The forward pass, if there are scores of it or something to keep, and the
    gradient pass, if there are scores of it.
  """
  forward_names = registry.of_kind(names, registry.FORWARD, registry.DATA)
  gradient_names = registry.of_kind(names, registry.GRADIENT)
  groups = [forward_names] if forward_names or keep else []
  return [*groups, gradient_names] if gradient_names else groups
