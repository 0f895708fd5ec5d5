"""Scores from the gradient of each example, by one pass for all of them."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from datadiet.feeding.augmentation import normalise
from datadiet.gradient_norms import grad_norm
from datadiet.gradient_norms.transform import leaf_path
from datadiet.scoring import forward
from datadiet.scoring.deepfool import boundary_distance
from datadiet.scoring.settings import GradientSettings
from datadiet.training.steps import apply_model
from datadiet.training.trainable import is_trained, trained_part, with_part

UNCLOG, DEEPFOOL = 'unclog', 'deepfool'
LAYERS = 'grand_layers'


def make_gradient_step(
  model: nn.Module,
  names: Sequence[str],
  settings: GradientSettings,
  trainable: str = 'all',
  platform: str | None = None,
) -> Callable[..., dict[str, jax.Array]]:
  """One gradient pass for the scores of the loss, one more for unclog.

  Args:
    model: the network, run in eval mode.
    names: among 'grand', 'grand_subset', 'unclog', 'deepfool'.
    settings: see `GradientSettings`.
    trainable: what the gradient is of, see `trainable.is_trained`.
    platform: what it is to run on; that of JAX's devices if None.

  Returns:
    (variables, images float32[batch, height, width, channels], labels
    int32[batch]) -> name -> float32[batch], and 'grand_layers' float32[batch,
    num_leaves] if asked for. `variables` holds 'params', 'batch_stats' and,
    for unclog, 'unclog_direction' in the structure of params.
  """
  per_leaf = settings.per_layer or 'grand_subset' in names

  def gradient_step(variables, images, labels):
    params, batch_stats = variables['params'], variables['batch_stats']
    scores: dict[str, jax.Array] = {}
    if per_leaf or 'grand' in names:
      norms = grad_norm(
        _loss_of(model, batch_stats),
        per_leaf=per_leaf,
        squared=True,
        trainable=is_trained(trainable),
        platform=platform,
      )
      squares = jax.vmap(norms, in_axes=(None, 0, 0))(params, images, labels)
      scores |= _loss_scores(squares, names, settings, per_leaf)
    if UNCLOG in names:
      scores[UNCLOG] = _unclog(
        model,
        params,
        batch_stats,
        images,
        variables['unclog_direction'],
        trainable,
        platform,
      )
    if DEEPFOOL in names:
      logits_of = _logits_of(model, params, batch_stats)
      scores[DEEPFOOL] = jax.vmap(
        lambda image: boundary_distance(logits_of, image)
      )(images)
    return scores

  return gradient_step


def _logits_of(model: nn.Module, params: Any, batch_stats: Any) -> Callable:
  def logits_of(image):
    logits, _ = apply_model(
      model, params, batch_stats, image[None], train=False
    )
    return logits[0].astype(jnp.float32)

  return logits_of


def _loss_of(model: nn.Module, batch_stats: Any) -> Callable:
  def loss(params, image, label):
    logits, _ = apply_model(
      model, params, batch_stats, image[None], train=False
    )
    return forward.loss(forward.make_outputs(logits, label[None]))[0]

  return loss


def _loss_scores(
  squares: Any,
  names: Sequence[str],
  settings: GradientSettings,
  per_leaf: bool,
) -> dict[str, jax.Array]:
  if not per_leaf:
    return {'grand': jnp.sqrt(squares)}
  # Two leaves can have one path, as {'a/b': ..., 'a': {'b': ...}} has.
  paths, leaves = leaf_names(squares), jax.tree.leaves(squares)
  scores = {}
  if 'grand' in names:
    scores['grand'] = jnp.sqrt(sum(leaves))
  if 'grand_subset' in names:
    chosen = set(subset_paths(paths, settings.grand_subset))
    scores['grand_subset'] = jnp.sqrt(
      sum(leaf for path, leaf in zip(paths, leaves) if path in chosen)
    )
  if settings.per_layer:
    scores[LAYERS] = jnp.sqrt(jnp.stack(leaves, -1))
  return scores


def leaf_names(params: Any) -> list[str]:
  """The columns of 'grand_layers', in order."""
  return [
    leaf_path(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)
  ]


def subset_paths(paths: Sequence[str], pattern: str) -> list[str]:
  """The parameter paths that a regular expression matches."""
  return [path for path in paths if re.search(pattern, path)]


def _sum_of_logits(model: nn.Module, batch_stats: Any) -> Callable:
  def total(params, image):
    logits, _ = apply_model(
      model, params, batch_stats, image[None], train=False
    )
    return logits.sum()

  return total


def _unclog(
  model, params, batch_stats, images, direction, trainable, platform
) -> jax.Array:
  """|g - d| from |g|, <g, d> and |d|: no gradient is formed.

  The sum cancels where g is near d: an error of 1e-7 in |g|^2 becomes one of
  1e-7 |g|^2 / unclog^2 in the square of the score.
  """
  total = _sum_of_logits(model, batch_stats)
  norm = grad_norm(
    total,
    squared=True,
    trainable=is_trained(trainable),
    platform=platform,
  )
  square = jax.vmap(norm, in_axes=(None, 0))(params, images)

  def along(image):
    return jax.jvp(lambda p: total(p, image), (params,), (direction,))[1]

  inner = jax.vmap(along)(images)
  length = sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(direction))
  return jnp.sqrt(jnp.maximum(square - 2.0 * inner + length, 0.0))


def balanced_sample(
  labels: np.ndarray, sample_size: int, seed: int
) -> np.ndarray:
  """Indices of a class-balanced random sample.

  Args:
    labels: int[N].
    sample_size: examples in all; split evenly, as far as classes last.
    seed: of the draw.

  Returns:
    int64[at most sample_size], ascending.
  """
  rng = np.random.default_rng([seed, 0])
  classes = np.unique(labels)
  per_class = max(1, sample_size // len(classes))
  chosen = []
  for label in classes:
    members = np.flatnonzero(labels == label)
    chosen.append(rng.permutation(members)[:per_class])
  return np.sort(np.concatenate(chosen))


def make_direction(
  model: nn.Module,
  *,
  mean: np.ndarray | None,
  std: np.ndarray | None,
  trainable: str = 'all',
) -> Callable[..., Any]:
  """The mean gradient of the sum of logits over some images.

  Args:
    model: the network.
    mean: float32[channels], for normalisation; None to leave images.
    std: float32[channels].
    trainable: as in `make_gradient_step`.

  Returns:
    (variables, images uint8[batch, ...], mask bool[batch]) -> the sum of
    gradients over the masked images, in the structure of params; zero in what
    is not trained.
  """

  def direction(variables, images, mask):
    if mean is not None:
      images = normalise(images, mean, std)

    params = variables['params']

    def total(part):
      logits, _ = apply_model(
        model,
        with_part(params, part),
        variables['batch_stats'],
        images,
        train=False,
      )
      return jnp.sum(jnp.where(mask, logits.sum(-1), 0.0))

    grads = jax.grad(total)(trained_part(params, trainable))
    return with_part(jax.tree.map(jnp.zeros_like, params), grads)

  return direction
