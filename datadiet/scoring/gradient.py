"""Scores from the gradient of each example's loss."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from datadiet.scoring.grad_norm import grad_norm
from datadiet.training.steps import apply_model, per_example_loss


def grand(model: nn.Module) -> Callable[..., jax.Array]:
  """GraNd: norm of the loss's gradient in all params (Paul et al. 2021).

  Args:
    model: the network, run in eval mode.

  Returns:
    (params, batch_stats, images float32[batch, height, width, channels],
    labels int32[batch]) -> float32[batch].
  """

  def norms(params: Any, batch_stats: Any, images, labels) -> jax.Array:
    def loss(params, image, label):
      logits, _ = apply_model(
        model, params, batch_stats, image[None], train=False
      )
      return per_example_loss(logits, label[None])[0]

    return jax.vmap(grad_norm(loss), in_axes=(None, 0, 0))(
      params, images, labels
    )

  return norms
