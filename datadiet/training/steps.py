"""The pure train and evaluation steps of one run."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from datadiet.errors import DataDietError
from datadiet.feeding.augmentation import Augmentation, normalise
from datadiet.runtime import randomness
from datadiet.training.dynamics import update_dynamics
from datadiet.training.losses import record_losses
from datadiet.training.recorders import Recorder
from datadiet.training.state import Meters, TrainState
from datadiet.training.trainable import resting_norms, trained_part, with_part
from datadiet.training.vector import ParamVector

Batch = dict[str, jax.Array]
StepKeys = dict[str, jax.Array]


def apply_model(
  model: nn.Module,
  params: Any,
  batch_stats: Any,
  images: jax.Array,
  *,
  train: bool,
  rngs: dict[str, jax.Array] | None = None,
) -> tuple[jax.Array, Any]:
  """Applies the network, in train or in eval mode.

  Args:
    model: the network.
    params: its parameters.
    batch_stats: its running statistics; may be empty.
    images: float32[batch, height, width, channels], normalised.
    train: whether batch norm uses and updates the batch's statistics, and
      dropout drops.
    rngs: keys by the names of flax's random streams; needed where the network
      draws random numbers, as dropout does in training.

  Returns:
    logits float32[batch, num_classes] and the new batch statistics.

  Raises:
    DataDietError: if it draws random numbers and there are no keys for them,
      as in eval mode.
  """
  variables: dict[str, Any] = {'params': params}
  if batch_stats:
    variables['batch_stats'] = batch_stats
  options: dict[str, Any] = {'rngs': rngs} if rngs else {}
  if not (train and batch_stats):
    try:
      logits: Any = model.apply(variables, images, train=train, **options)
    except flax.errors.InvalidRngError as error:
      raise DataDietError(
        f'the model {type(model).__name__} draws random numbers where train is '
        'False; scores and accuracies must not depend on them: dropout needs '
        'deterministic=not train'
      ) from error
    return logits, batch_stats
  logits, updates = model.apply(
    variables, images, train=True, mutable=['batch_stats'], **options
  )
  return logits, updates['batch_stats']


def per_example_loss(logits: jax.Array, labels: jax.Array) -> jax.Array:
  """Cross-entropy, float32[batch]."""
  return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def smoothed(
  losses: jax.Array, logits: jax.Array, smoothing: float
) -> jax.Array:
  """Cross-entropy with a share of each label spread over all classes.

  Szegedy et al. 2015, arXiv 1512.00567.

  Args:
    losses: float32[batch], of `per_example_loss`.
    logits: float32[batch, num_classes].
    smoothing: the share.
  """
  if not smoothing:
    return losses
  of_all = jax.nn.logsumexp(logits, -1) - logits.mean(-1)
  return (1.0 - smoothing) * losses + smoothing * of_all


def step_keys(seed: int, run: int) -> StepKeys:
  """The keys of a run from which each step derives its own, uint32[2] each.

  Args:
    seed: `data_seed`.
    run: the run's number.

  Returns:
    'augmentation', and 'model' for random numbers of the network (dropout).
  """
  return {
    'augmentation': randomness.run_key(
      seed, run, randomness.AUGMENTATION_STREAM
    ),
    'model': randomness.run_key(seed, run, randomness.MODEL_STREAM),
  }


def model_rngs(key: jax.Array) -> dict[str, jax.Array]:
  """The keys of flax's random streams in one training step.

  A stream without a key of its own, such as 'stochastic_depth', is derived by
  flax from 'params'; no two streams or layers draw the same bits.

  Args:
    key: the key of one step of one run.
  """
  return {
    name: jax.random.fold_in(key, number)
    for number, name in enumerate(('params', 'dropout'))
  }


def make_train_step(
  model: nn.Module,
  tx: optax.GradientTransformation,
  *,
  mean: jax.typing.ArrayLike,
  std: jax.typing.ArrayLike,
  augmentation: Augmentation,
  label_smoothing: float = 0.0,
  trainable: str = 'all',
  recorders: Sequence[Recorder] = (),
  data_axis: str | None = None,
  vector: ParamVector | None = None,
) -> Callable[[TrainState, Batch, StepKeys], TrainState]:
  """Builds the train step of one run.

  Where devices share a batch, they average loss, gradients and batch
  statistics, and gather the logits (some kilobytes) for what is recorded.

  Args:
    model: the network.
    tx: the optimizer.
    mean: float32[channels], for normalisation.
    std: float32[channels].
    augmentation: how images vary.
    label_smoothing: see `smoothed`; of what is minimised alone.
    trainable: see `trainable.is_trained`.
    recorders: those that the state's dynamics were made with.
    data_axis: the mesh axis over which the batch is split, if it is.
    vector: of its `pack_state` states are taken too, if all is trained.

  Returns:
    (state, batch, keys) -> state. `batch` has 'image' uint8[batch, height,
    width, channels], 'label' int32[batch], 'example_index' int32[batch], and
    'weight' float32[batch] if losses are weighted; `keys` is of `step_keys`.
  """

  gradient = jax.value_and_grad(
    _loss_and_outputs(model, trainable, label_smoothing), has_aux=True
  )

  def train_step(state, batch, keys):
    augmentation_key, rngs = _random_keys(keys, state.step, data_axis)
    images = augmentation(batch['image'], augmentation_key, data_axis)
    images = normalise(images, mean, std)
    is_packed = isinstance(state.params, jax.Array)
    params = vector.unpack(state.params) if is_packed else state.params
    part = trained_part(params, trainable)
    (loss, (losses, logits, batch_stats)), grads = gradient(
      part, params, state.batch_stats, images, batch, rngs
    )
    if is_packed:
      grads, part, params = vector.pack(grads), state.params, state.params
    visit = _Visit(batch['example_index'], batch['label'], logits, losses)
    (loss, grads), visit = _exchange((loss, grads), visit, data_axis)
    updates, opt_state = tx.update(grads, state.opt_state, part)
    state = _record(state, visit, loss, recorders)
    return dataclasses.replace(
      state,
      step=state.step + 1,
      params=with_part(params, optax.apply_updates(part, updates)),
      batch_stats=batch_stats,
      opt_state=opt_state,
    )

  return train_step


def _loss_and_outputs(
  model: nn.Module, trainable: str, label_smoothing: float
) -> Callable:
  """(trained part, params, ...) -> what is minimised, and outputs."""

  def loss_and_outputs(part, params, batch_stats, images, batch, rngs):
    with resting_norms(trainable):
      logits, batch_stats = apply_model(
        model,
        with_part(params, part),
        batch_stats,
        images,
        train=True,
        rngs=rngs,
      )
    losses = per_example_loss(logits, batch['label'])
    minimised = smoothed(losses, logits, label_smoothing)
    if 'weight' in batch:
      minimised *= batch['weight']
    return minimised.mean(), (losses, logits, batch_stats)

  return loss_and_outputs


class _Visit(NamedTuple):
  """What a step saw of each example of its batch.

  Attributes:
    example_index: int32[batch].
    labels: int32[batch].
    logits: float32[batch, num_classes].
    losses: float32[batch], without weights.
  """

  example_index: jax.Array
  labels: jax.Array
  logits: jax.Array
  losses: jax.Array


def _random_keys(
  keys: StepKeys, step: jax.Array, data_axis: str | None
) -> tuple[jax.Array, dict[str, jax.Array]]:
  """The keys of one step: for augmentation, and of the model's streams."""
  rngs = jax.tree.map(
    lambda key: jax.random.fold_in(jax.random.wrap_key_data(key), step), keys
  )
  model_key = rngs['model']
  if data_axis is not None:
    # What a model draws by itself, such as dropout, differs by device.
    model_key = jax.random.fold_in(model_key, jax.lax.axis_index(data_axis))
  return rngs['augmentation'], model_rngs(model_key)


def _exchange(means: Any, visit: _Visit, data_axis: str | None) -> Any:
  """What the devices of a run exchange in a step, where there are several.

  Args:
    means: arrays of which each device has that of its share of the batch.
    visit: of the device's share.
    data_axis: the mesh axis over which the batch is split, if it is.

  Returns:
    The averages over the devices, and the visit of the whole batch.
  """
  if data_axis is None:
    return means, visit
  return jax.lax.pmean(means, data_axis), jax.tree.map(
    lambda own: jax.lax.all_gather(own, data_axis, tiled=True), visit
  )


def _record(
  state: TrainState,
  visit: _Visit,
  loss: jax.Array,
  recorders: Sequence[Recorder],
) -> TrainState:
  """Adds a visit to losses, dynamics and meters; `loss` was minimised."""
  losses = state.losses
  if losses is not None:
    losses = record_losses(losses, visit.example_index, visit.losses)
  return dataclasses.replace(
    state,
    losses=losses,
    dynamics=update_dynamics(
      state.dynamics,
      visit.example_index,
      visit.logits,
      visit.labels,
      state.step,
      recorders,
    ),
    meters=_update_meters(state.meters, loss, visit, state.step),
  )


def _update_meters(
  meters: Meters, loss: jax.Array, visit: _Visit, step: jax.Array
) -> Meters:
  correct = jnp.argmax(visit.logits, -1) == visit.labels
  failed = ~jnp.isfinite(loss) & (meters.nonfinite_step < 0)
  return dataclasses.replace(
    meters,
    loss=meters.loss + visit.losses.sum(),
    correct=meters.correct + jnp.sum(correct),
    count=meters.count + len(visit.labels),
    nonfinite_step=jnp.where(failed, step, meters.nonfinite_step),
  )


def make_eval_step(
  model: nn.Module,
  *,
  mean: jax.typing.ArrayLike,
  std: jax.typing.ArrayLike,
  data_axis: str | None = None,
) -> Callable[[Any, Any, Batch], dict[str, jax.Array]]:
  """Builds the evaluation step of one run.

  Args:
    model: the network.
    mean: float32[channels], for normalisation.
    std: float32[channels].
    data_axis: the mesh axis over which the batch is split, if it is.

  Returns:
    (params, batch_stats, batch) -> sums over the examples with 'mask' true:
    'loss' float32[], 'correct' and 'count' int32[num_classes] by label.
  """

  def eval_step(params, batch_stats, batch):
    images = normalise(batch['image'], mean, std)
    logits, _ = apply_model(model, params, batch_stats, images, train=False)
    losses = per_example_loss(logits, batch['label'])
    correct = jnp.argmax(logits, -1) == batch['label']
    mask = batch['mask']
    classes = jnp.arange(logits.shape[-1])
    of_class = (batch['label'][:, None] == classes) & mask[:, None]
    sums = {
      'loss': jnp.sum(jnp.where(mask, losses, 0.0)),
      'correct': jnp.sum(of_class & correct[:, None], 0),
      'count': jnp.sum(of_class, 0),
    }
    return sums if data_axis is None else jax.lax.psum(sums, data_axis)

  return eval_step
