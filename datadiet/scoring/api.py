"""Scores of examples for a model and arrays, without a config."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import numpy as np
from flax import nnx

from datadiet.errors import DataDietError
from datadiet.runtime.mesh import RunMesh
from datadiet.scoring import registry
from datadiet.scoring.engine import ScoringEngine
from datadiet.scoring.gradient import leaf_names, subset_paths
from datadiet.scoring.passes import pass_groups
from datadiet.scoring.settings import GradientSettings


@dataclasses.dataclass(frozen=True)
class _Arrays:
  """The parts of a split that the engine needs."""

  images: np.ndarray
  labels: np.ndarray
  crop_size: int = 0

  @property
  def num_examples(self) -> int:
    return len(self.labels)


class _Model:
  """Wraps any apply function as the linen module that the engine calls."""

  def __init__(self, apply_fn: Callable[..., Any]):
    self._apply_fn = apply_fn

  def apply(self, variables, images, train=False, mutable=()):
    assert not train, 'scores are made in eval mode'
    whole = {'params': variables['params'], **variables.get('batch_stats', {})}
    if not mutable:
      return self._apply_fn(whole, images)
    return self._apply_fn(whole, images, mutable=mutable)


def _as_model(model: nn.Module | Callable) -> _Model:
  if not isinstance(model, nn.Module):
    return _Model(model)
  parameters = inspect.signature(model.__call__).parameters
  options: dict[str, Any] = {'train': False} if 'train' in parameters else {}
  return _Model(
    lambda variables, images, **more: model.apply(
      variables, images, **options, **more
    )
  )


def _check_model(model: Any, variables: Any) -> None:
  """Refuses models of other libraries; the message tells what to pass."""
  if isinstance(model, nnx.Module):
    raise DataDietError(
      'model is an NNX module; pass a function and its parameters instead: '
      'graph, params = nnx.split(model), then model=lambda variables, images: '
      "nnx.merge(graph, variables['params'])(images) and "
      "variables={'params': params}"
    )
  # Asked of the class, so that PyTorch need not be there.
  modules = {kind.__module__.split('.')[0] for kind in type(model).__mro__}
  if 'torch' in modules:
    raise DataDietError(
      'model is a PyTorch module, which JAX cannot run; pass the same network '
      'as a flax linen module or as a JAX function (variables, images) -> '
      "logits, with its weights as variables={'params': ...} of numpy arrays"
    )
  if not callable(model):
    raise DataDietError(
      f'model is {type(model).__name__}; allowed: a flax linen module or a '
      'function (variables, images) -> logits'
    )
  if not isinstance(variables, Mapping) or 'params' not in variables:
    given = type(variables).__name__
    if isinstance(variables, Mapping):
      given = f'a dict of {", ".join(map(str, variables)) or "nothing"}'
    raise DataDietError(
      f"variables is {given}; it must be a dict with 'params', as model.init "
      "returns, such as {'params': params, 'batch_stats': batch_stats}"
    )


def _check_classes(model: _Model, inputs, images, labels) -> None:
  """Refuses labels past the last logit, which would score as another class."""
  try:
    logits = jax.eval_shape(model.apply, inputs, images)
  except flax.errors.InvalidRngError as error:
    raise DataDietError(
      'the model draws random numbers where it is scored, on which scores must '
      'not depend; dropout needs deterministic=True there, or a train argument'
    ) from error
  if logits.ndim != 2 or labels.max() >= logits.shape[-1]:
    raise DataDietError(
      f'label {labels.max()} is no class of the model, which gives logits of '
      f'shape [batch, {", ".join(map(str, logits.shape[1:]))}]'
    )


def _check_subset(params, pattern: str) -> None:
  """Refuses a subset of no parameters, which would have no score."""
  names = leaf_names(params)
  if not subset_paths(names, pattern):
    raise DataDietError(
      f'grand_subset: the pattern {pattern!r} is found in no path of params; '
      f'allowed: what is found in one of {", ".join(names)}'
    )


def _resolve(scores: Sequence[str]) -> tuple[str, ...]:
  """The scores by their names; only what one network gives."""
  names = registry.resolve(scores)
  allowed = (registry.FORWARD, registry.GRADIENT, registry.DATA)
  for name in names:
    if registry.SCORES[name].kind not in allowed:
      raise DataDietError(
        f'{name!r} is made of more than one network: use datadiet.main; here '
        'scores of one forward or gradient pass are allowed'
      )
  return names


def _as_collections(variables: Mapping[str, Any]) -> dict[str, Any]:
  """The two collections that the engine knows: all but params as the second."""
  others = {
    name: value for name, value in variables.items() if name != 'params'
  }
  return {'params': variables['params'], 'batch_stats': others}


def _as_split(images: np.ndarray, labels: np.ndarray) -> _Arrays:
  """The arrays, checked, as the split that the engine scores."""
  if len(images) != len(labels) or labels.ndim != 1 or not len(labels):
    raise DataDietError(
      f'images and labels must be equally many, at least one: got '
      f'{images.shape} and {labels.shape}'
    )
  if images.dtype.kind in 'iub':
    raise DataDietError(
      f'images are {images.dtype}, raw pixels; pass what the model was trained '
      'on, such as ((images / 255 - mean) / std).astype(np.float32)'
    )
  finite = np.isfinite(images).reshape(len(images), -1).all(1)
  if not finite.all():
    raise DataDietError(
      f'images must be finite; that of example_index {int(np.argmin(finite))} '
      'is not'
    )
  if labels.dtype.kind not in 'iu' or labels.min() < 0:
    raise DataDietError(
      f'labels must be integers from 0, got {labels.dtype} down to '
      f'{labels.min()}'
    )
  return _Arrays(images, labels.astype(np.int32))


def score_examples(
  model: nn.Module | Callable[[Mapping[str, Any], Any], Any],
  variables: Mapping[str, Any],
  images: np.ndarray,
  labels: np.ndarray,
  scores: Sequence[str] = ('el2n', 'grand'),
  *,
  batch_size: int = 128,
  mesh: RunMesh | None = None,
  gradient: GradientSettings = GradientSettings(),  # noqa: B008, frozen.
) -> dict[str, np.ndarray]:
  """Scores examples under one trained network, on all devices.

    scores = datadiet.score_examples(
      model, variables, images, labels, ('el2n', 'grand')
    )

  Args:
    model: a linen module (its `train` argument, if it has one, is False), or a
      function (variables, images[batch, ...]) -> logits[batch, num_classes].
    variables: {'params': ..., and any other collections, such as
      'batch_stats'}; gradients are taken in 'params'.
    images: [N, ...], what the model takes: already normalised.
    labels: int[N].
    scores: of one forward or one gradient pass; see `datadiet.scoring.registry`
      for what each means. Scores of training dynamics need the training.
    batch_size: examples a chunk, on all devices together.
    mesh: of `datadiet.runtime.mesh`; all devices if None.
    gradient: options of grand_subset, unclog and per-layer norms.

  Returns:
    name -> float32[N]; also 'prediction' int32[N] where a forward pass ran.

  Raises:
    DataDietError: for a model or variables of another kind, unknown scores,
      those that need a training, raw pixels, arrays of different lengths,
      labels that are no class of the model, or a grand_subset that is found
      in no path of params.
  """
  _check_model(model, variables)
  names = _resolve([scores] if isinstance(scores, str) else scores)
  split: Any = _as_split(np.asarray(images), np.asarray(labels))
  applied: Any = _as_model(model)
  inputs = _as_collections(variables)
  _check_classes(applied, inputs, split.images[:1], split.labels)
  if 'grand_subset' in names:
    _check_subset(inputs['params'], gradient.grand_subset)
  result: dict[str, np.ndarray] = {}
  for group in pass_groups(names):
    engine = ScoringEngine(
      split,
      applied,
      group,
      mean=None,
      std=None,
      chunk_size=batch_size,
      mesh=mesh,
      gradient=gradient,
    )
    result |= engine.score(inputs)
  return result
