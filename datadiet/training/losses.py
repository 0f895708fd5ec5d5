"""Per-example losses, for policies that draw epochs by them."""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp


@flax.struct.dataclass
class EpochLosses:
  """The losses by which the next and the current epoch are drawn.

  Attributes:
    last_loss: float32[N], at each example's last visit; inf before the first.
    epoch_loss: float32[N], the same at the start of the current epoch.
    epoch: int32[], its number.
    first_step: int32[], the optimizer step it started at.
  """

  last_loss: jax.Array
  epoch_loss: jax.Array
  epoch: jax.Array
  first_step: jax.Array


def init_losses(num_examples: int) -> EpochLosses:
  """The losses at the start of the first epoch: none recorded yet."""
  return EpochLosses(
    last_loss=jnp.full(num_examples, jnp.inf, jnp.float32),
    epoch_loss=jnp.full(num_examples, jnp.inf, jnp.float32),
    epoch=jnp.zeros((), jnp.int32),
    first_step=jnp.zeros((), jnp.int32),
  )


def record_losses(
  losses: EpochLosses, example_index: jax.Array, batch_losses: jax.Array
) -> EpochLosses:
  """Records the losses float32[batch] of a visit of int32[batch] examples."""
  last_loss = losses.last_loss.at[example_index].set(
    batch_losses, mode='drop', unique_indices=True
  )
  return dataclasses.replace(losses, last_loss=last_loss)


def begin_epoch(
  losses: EpochLosses, begins: jax.Array, step: jax.Array
) -> EpochLosses:
  """Starts another epoch at int32[] `step` where bool[] `begins` is true."""
  return dataclasses.replace(
    losses,
    epoch_loss=jnp.where(begins, losses.last_loss, losses.epoch_loss),
    epoch=losses.epoch + begins,
    first_step=jnp.where(begins, step, losses.first_step),
  )
