"""Tries the user's own code before training: on shapes, and on one epoch.

Plugins add models, scores, schedules, policies and sections. What of it does
not fit is told in a sentence now, not after hours of training.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from datadiet.errors import ConfigError
from datadiet.models.settings import make_network
from datadiet.scoring import registry
from datadiet.scoring.forward import make_outputs
from datadiet.scoring.passes import forward_pass
from datadiet.selection import POLICIES
from datadiet.stages import due
from datadiet.stages.context import Context
from datadiet.training.dynamics import (
  Dynamics,
  DynamicsSettings,
  dynamics_arrays,
  init_dynamics,
  update_dynamics,
)
from datadiet.training.optimizer import make_schedule
from datadiet.training.steps import apply_model

# Examples that are tried; few, and neither 1 nor the number of classes.
_BATCH = 4


def rehearse(context: Context, stages: Sequence[str]) -> None:
  """Tries what the stages will call, where plugins may have added to it.

  Args:
    context: of the start.
    stages: the stages to run.

  Raises:
    ConfigError: names the setting, what its code gave, and what it has to give.
  """
  if not context.config.plugins:
    return
  if {'train', 'retrain'} & {*stages}:
    _try_schedule(context)
    _try_training_pass(context)
  if {'train', 'score'} & {*stages}:
    _try_scores(context)
  if {'select', 'retrain'} & {*stages}:
    _try_epochs(context)
  if 'report' in stages:
    # Imported late: it takes the libraries of the report.
    from datadiet.reporting import page

    page.check_sections()


def _try_schedule(context: Context) -> None:
  config = context.config
  horizon = config.train.schedule_steps
  schedule = make_schedule(config.optimizer, horizon)
  for step in (0, horizon - 1):
    rate = np.asarray(schedule(step))
    if rate.shape != () or not np.isfinite(rate):
      raise ConfigError(
        f'config.optimizer.schedule: {config.optimizer.schedule!r} gives '
        f'{rate} at step {step}; allowed: a schedule that gives one finite '
        'number'
      )


def _image_shapes(context: Context) -> jax.ShapeDtypeStruct:
  shape = (_BATCH, *context.dataset.input_shape)
  return jax.ShapeDtypeStruct(shape, jnp.float32)


def _try_training_pass(context: Context) -> None:
  """The network in train mode, with keys for what it draws."""
  dataset, config = context.dataset, context.config
  network = make_network(config.model, dataset.num_classes)
  variables = due.network_shapes(context)
  key = jax.ShapeDtypeStruct((2,), jnp.uint32)

  def train(variables, images, key):
    rngs = {'dropout': jax.random.wrap_key_data(key)}
    logits, _ = apply_model(
      network, **variables, images=images, train=True, rngs=rngs
    )
    return logits

  logits = jax.eval_shape(train, variables, _image_shapes(context), key)
  wanted = (_BATCH, dataset.num_classes)
  if logits.shape != wanted or logits.dtype != jnp.float32:
    raise ConfigError(
      f'config.model.name: {config.model.name!r} gives {_described(logits)} '
      f'for {_BATCH} images; allowed: logits float32{[*wanted]}'
    )


def _try_scores(context: Context) -> None:
  """Every score that is a function, on shapes."""
  config, dataset = context.config, context.dataset
  names = config.score.names
  network = make_network(config.model, dataset.num_classes)
  variables = due.network_shapes(context)
  needs_features = bool(registry.needing(names, registry.FEATURES))
  labels = jax.ShapeDtypeStruct((_BATCH,), jnp.int32)

  def of_forward(name):
    def score(variables, images, labels):
      passed = forward_pass(network, variables, images, needs_features)
      outputs = make_outputs(passed[0], labels, passed[1])
      return _function(name)(outputs)

    return jax.eval_shape(score, variables, _image_shapes(context), labels)

  for name in registry.of_kind(names, registry.FORWARD):
    _check_score(name, of_forward(name))
  for name in registry.of_kind(names, registry.DATA):
    found = jax.eval_shape(_function(name), _image_shapes(context))
    _check_score(name, found)
  if registry.of_kind(names, registry.DYNAMICS):
    _try_dynamics(context)


def _try_dynamics(context: Context) -> None:
  """Recorders and scores of the dynamics, on one visit of a few examples."""
  config = context.config
  names = registry.of_kind(config.score.names, registry.DYNAMICS)
  settings = DynamicsSettings(
    config.train.dynamics_window, registry.recorders_for(names)
  )
  num_classes = context.dataset.num_classes
  before = init_dynamics(_BATCH, num_classes=num_classes, settings=settings)
  _check_rows(before)
  after = update_dynamics(
    before,
    jnp.arange(_BATCH),
    jnp.zeros((_BATCH, num_classes), jnp.float32),
    jnp.zeros(_BATCH, jnp.int32),
    0,
    settings.recorders,
  )
  arrays = {name: np.asarray(v) for name, v in dynamics_arrays(after).items()}
  arrays |= {'step': np.array(1), 'window': np.array(settings.window)}
  for name in names:
    _check_score(name, np.asarray(_function(name)(arrays)))


def _function(name: str) -> Callable[..., Any]:
  function = registry.SCORES[name].function
  assert function is not None  # `Score` checks it.
  return function


def _check_rows(dynamics: Dynamics) -> None:
  for name, array in dynamics_arrays(dynamics).items():
    if array.shape[:1] != (_BATCH,):
      raise ConfigError(
        f'config.score.names: the recorder array {name!r} is '
        f'{_described(array)} for {_BATCH} examples; allowed: a row an example'
      )


def _check_score(name: str, values: jax.ShapeDtypeStruct | np.ndarray) -> None:
  shape, kind = values.shape, np.dtype(values.dtype).kind
  if shape != (_BATCH,) or kind not in 'fiub':
    raise ConfigError(
      f'config.score.names: {name!r} gives {_described(values)} for {_BATCH} '
      f'examples; allowed: a score that gives a number an example, '
      f'float32[{_BATCH}]'
    )


def _try_epochs(context: Context) -> None:
  """The first epoch of every policy that changes while training."""
  config = context.config
  for selection in context.selections:
    epochs_type = POLICIES[selection.policy].epochs
    if epochs_type is None:
      continue
    examples = np.arange(context.num_examples)
    epochs = epochs_type(
      examples,
      seed=0,
      run=0,
      num_kept=selection.num_kept,
      num_steps=config.retrain.num_steps,
      **selection.options,
    )
    losses = None
    if epochs.uses_losses:
      losses = np.full(context.num_examples, np.inf, np.float32)
    chosen, weights = epochs.epoch(0, 0, losses)
    chosen = np.asarray(chosen)
    fits = (
      chosen.ndim == 1
      and chosen.dtype.kind in 'iu'
      and len(np.unique(chosen)) == len(chosen)
      and bool(np.isin(chosen, examples).all())
      and (weights is None or np.shape(weights) == chosen.shape)
    )
    if not fits:
      raise ConfigError(
        f'config.select.policies: {selection.policy!r} gives an epoch of '
        f'{_described(chosen)}; allowed: distinct positions from 0 to '
        f'{context.num_examples - 1}, and None or a weight for each'
      )


def _described(values: jax.ShapeDtypeStruct | jax.Array | np.ndarray) -> str:
  return f'{values.dtype}{list(values.shape)}'
