"""InfoBatch: each epoch leaves out some of the examples that are learned well.

Qin et al. 2024, ICLR, arXiv 2303.04947. At the start of an epoch the examples
whose loss, at their last visit, was below the mean are pruned with a given
probability; the gradients of those that stay are scaled up, so that the
expected gradient is that of all the data; the last part of training goes
through everything. What the choice goes by is in the train state, so that a
stopped run goes on exactly.
"""

import dataclasses

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from datadiet.runtime.randomness import ORDER_STREAM, PRUNING_STREAM, generator


@dataclasses.dataclass(frozen=True)
class InfoBatchSettings:
  """How epochs are pruned.

  Attributes:
    prune_fraction: of the examples with a loss below the mean; the paper's r.
    full_fraction: share of the training, its last part, that goes through all
      examples; one minus the paper's delta.
  """

  prune_fraction: float = 0.5
  full_fraction: float = 0.125

  def smallest_epoch(self, num_examples: int) -> int:
    """How many of some examples an epoch goes through at least."""
    return num_examples - round(self.prune_fraction * num_examples)


@flax.struct.dataclass
class Pruning:
  """The losses that the next and the current epoch go by.

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


def init_pruning(num_examples: int) -> Pruning:
  """The state at the start of the first epoch, which prunes nothing."""
  return Pruning(
    last_loss=jnp.full(num_examples, jnp.inf, jnp.float32),
    epoch_loss=jnp.full(num_examples, jnp.inf, jnp.float32),
    epoch=jnp.zeros((), jnp.int32),
    first_step=jnp.zeros((), jnp.int32),
  )


def record_losses(
  pruning: Pruning, example_index: jax.Array, losses: jax.Array
) -> Pruning:
  """Keeps the losses float32[batch] of a visit of int32[batch] examples."""
  last_loss = pruning.last_loss.at[example_index].set(
    losses, mode='drop', unique_indices=True
  )
  return pruning.replace(last_loss=last_loss)


def begin_epoch(pruning: Pruning, begins: jax.Array, step: jax.Array):
  """Starts another epoch at int32[] `step` where bool[] `begins` is true."""
  return pruning.replace(
    epoch_loss=jnp.where(begins, pruning.last_loss, pruning.epoch_loss),
    epoch=pruning.epoch + begins,
    first_step=jnp.where(begins, step, pruning.first_step),
  )


def epoch_examples(
  example_index: np.ndarray,
  epoch_loss: np.ndarray,
  settings: InfoBatchSettings,
  *,
  is_full: bool,
  seed: int,
  run: int,
  epoch: int,
) -> tuple[np.ndarray, np.ndarray]:
  """The examples of one epoch in their order, and the weights of their losses.

  Args:
    example_index: int[num], the examples that the run trains on.
    epoch_loss: float32[N], of `Pruning`.
    settings: how much is pruned.
    is_full: whether this epoch goes through everything.
    seed: `data_seed`.
    run: the run's number.
    epoch: from 0.

  Returns:
    int32[num_kept] and float32[num_kept].
  """
  losses = epoch_loss[example_index].astype(np.float64)
  seen = np.isfinite(losses)
  kept = np.ones(len(losses), bool)
  weights = np.ones(len(losses), np.float32)
  if seen.any() and not is_full:
    easy = np.flatnonzero(seen & (losses < losses[seen].mean()))
    rng = generator(seed, run, PRUNING_STREAM, epoch)
    num_pruned = round(settings.prune_fraction * len(easy))
    kept[rng.choice(easy, num_pruned, replace=False)] = False
    # Exact, also where the share of the pruned had to be rounded.
    weights[easy] = len(easy) / max(len(easy) - num_pruned, 1)
  positions = generator(seed, run, ORDER_STREAM, epoch).permutation(
    np.flatnonzero(kept)
  )
  return example_index[positions].astype(np.int32), weights[positions]
