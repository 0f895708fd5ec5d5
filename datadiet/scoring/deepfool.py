"""DeepFool: how far an image is from the nearest decision boundary."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

MAX_ITERATIONS = 50
# How much further the image is moved, so that it is past the boundary.
_OVERSHOOT = 0.02
_TINY = 1e-12


def boundary_distance(
  logits_of: Callable[[jax.Array], jax.Array], image: jax.Array
) -> jax.Array:
  """The length of DeepFool's perturbation of one image: float32[].

  Moosavi-Dezfooli et al. 2016, CVPR, arXiv 1511.04599: moves to the nearest
  boundary of the classifier linearised where the image is, again and again,
  until the prediction changes. DeepCore's code adds the squares up and does not
  overshoot; the order is nearly the same.

  Args:
    logits_of: image -> float32[num_classes].
    image: float32[height, width, channels], normalised.
  """
  start = jnp.argmax(logits_of(image))

  def moved(total):
    return image + (1.0 + _OVERSHOOT) * total

  def is_unchanged(state):
    number, total = state
    same = jnp.argmax(logits_of(moved(total))) == start
    return (number < MAX_ITERATIONS) & same

  def step(state):
    number, total = state
    logits = logits_of(moved(total))
    slopes = jax.jacrev(logits_of)(moved(total))
    slopes = (slopes - slopes[start]).reshape(len(logits), -1)
    lengths = jnp.maximum(jnp.linalg.norm(slopes, axis=1), _TINY)
    gaps = jnp.abs(logits - logits[start])
    is_start = jnp.arange(len(logits)) == start
    nearest = jnp.argmin(jnp.where(is_start, jnp.inf, gaps / lengths))
    # A little more, or an image right on the boundary would stay there.
    size = (gaps[nearest] + 1e-6) / jnp.square(lengths[nearest])
    return number + 1, total + (size * slopes[nearest]).reshape(total.shape)

  _, total = jax.lax.while_loop(is_unchanged, step, (0, jnp.zeros_like(image)))
  return jnp.sqrt(jnp.sum(jnp.square(total)))
