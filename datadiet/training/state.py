"""The train state: everything a run needs to resume exactly."""

from typing import Any

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax

from datadiet.training.dynamics import (
  Dynamics,
  DynamicsSettings,
  init_dynamics,
)
from datadiet.training.losses import EpochLosses, init_losses
from datadiet.training.trainable import trained_part


@flax.struct.dataclass
class Meters:
  """Sums over the steps since the last log point, fetched only there.

  Attributes:
    loss: float32[], sum of per-example losses.
    correct: int32[], examples classified rightly.
    count: int32[], examples.
    nonfinite_step: int32[], the first step with a non-finite loss, else -1.
  """

  loss: jax.Array
  correct: jax.Array
  count: jax.Array
  nonfinite_step: jax.Array


def init_meters() -> Meters:
  """Meters at zero."""
  return Meters(
    loss=jnp.zeros((), jnp.float32),
    correct=jnp.zeros((), jnp.int32),
    count=jnp.zeros((), jnp.int32),
    nonfinite_step=jnp.full((), -1, jnp.int32),
  )


@flax.struct.dataclass
class TrainState:
  """One run's state; stacked over slots when several train side by side.

  Attributes:
    step: int32[], optimizer steps done.
    params: trainable parameters.
    batch_stats: running statistics of batch norm; empty if there are none.
    opt_state: of the optimizer.
    dynamics: per-example statistics of training.
    meters: sums since the last log point.
    losses: those that epochs are drawn by; None if they are not needed.
  """

  step: jax.Array
  params: Any
  batch_stats: Any
  opt_state: optax.OptState
  dynamics: Dynamics
  meters: Meters
  losses: EpochLosses | None = None


def init_variables(
  model: nn.Module, image_shape: tuple[int, ...], key: jax.Array
) -> dict[str, Any]:
  """Freshly initialised {'params': ..., 'batch_stats': ...}.

  Args:
    model: the network.
    image_shape: (height, width, channels).
    key: uint32[2], of `randomness.run_key`.
  """
  images = jnp.zeros((1, *image_shape), jnp.float32)
  variables = model.init(jax.random.wrap_key_data(key), images, train=False)
  return {
    'params': variables['params'],
    'batch_stats': variables.get('batch_stats', {}),
  }


def variable_shapes(
  model: nn.Module, image_shape: tuple[int, ...]
) -> dict[str, Any]:
  """Shapes of what `init_variables` gives; computes nothing."""
  return jax.eval_shape(
    lambda key: init_variables(model, image_shape, key),
    jax.ShapeDtypeStruct((2,), jnp.uint32),
  )


def init_state(
  key: jax.Array,
  *,
  model: nn.Module,
  tx: optax.GradientTransformation,
  image_shape: tuple[int, ...],
  num_examples: int,
  num_classes: int = 0,
  trainable: str = 'all',
  dynamics_settings: DynamicsSettings = DynamicsSettings(),  # noqa: B008
  uses_losses: bool = False,
) -> TrainState:
  """The state of one run before its first step.

  Args:
    key: uint32[2], of `randomness.run_key` with `randomness.INIT_STREAM`.
    model: the network.
    tx: the optimizer.
    image_shape: (height, width, channels).
    num_examples: of the whole train split, whatever the run trains on.
    num_classes: number of logits.
    trainable: see `trainable.is_trained`.
    dynamics_settings: what is recorded of each example.
    uses_losses: whether losses are recorded for the next epoch.
  """
  variables = init_variables(model, image_shape, key)
  return TrainState(
    step=jnp.zeros((), jnp.int32),
    opt_state=tx.init(trained_part(variables['params'], trainable)),
    dynamics=init_dynamics(
      num_examples, num_classes=num_classes, settings=dynamics_settings
    ),
    meters=init_meters(),
    losses=init_losses(num_examples) if uses_losses else None,
    **variables,
  )
