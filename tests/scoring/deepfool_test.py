"""Tests DeepFool by its definition."""

import jax
import jax.numpy as jnp
import numpy as np

from datadiet.models import make_model
from datadiet.scoring.deepfool import MAX_ITERATIONS, boundary_distance
from datadiet.scoring.gradient import make_gradient_step
from datadiet.scoring.settings import GradientSettings
from datadiet.training.state import init_variables


def _network(seed, scale):
  rng = np.random.default_rng(seed)
  inner = rng.normal(size=(12, 8)) * scale
  outer = rng.normal(size=(8, 4))

  def logits_of(image):
    return jnp.tanh(image.ravel() @ inner) @ outer

  return logits_of, inner, outer


def test_of_a_linear_network_it_is_the_distance_to_the_boundary():
  rng = np.random.default_rng(0)
  weights = rng.normal(size=(12, 4))
  for image in rng.normal(size=(6, 2, 3, 2)).astype(np.float32):
    found = boundary_distance(lambda x: x.ravel() @ weights, image)
    logits = image.ravel() @ weights
    start = logits.argmax()
    expected = min(
      (logits[start] - logits[k])
      / np.linalg.norm(weights[:, k] - weights[:, start])
      for k in range(4)
      if k != start
    )
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def _slow(image, inner, outer):
  """The loop of the paper, one image, in float64."""

  def logits(x):
    return np.tanh(x @ inner) @ outer

  x, total = image.ravel().astype(float), np.zeros(12)
  start = logits(x).argmax()
  number = 0
  while logits(x + 1.02 * total).argmax() == start and number < MAX_ITERATIONS:
    at = x + 1.02 * total
    slopes = (inner * (1 - np.tanh(at @ inner) ** 2)) @ outer
    moves = []
    for k in range(4):
      if k != start:
        w = slopes[:, k] - slopes[:, start]
        gap = abs(logits(at)[k] - logits(at)[start])
        moves.append((gap / np.linalg.norm(w), gap / (w @ w) * w))
    total = total + min(moves, key=lambda move: move[0])[1]
    number += 1
  return np.linalg.norm(total), number


def test_of_another_network_it_is_that_of_the_slow_loop():
  logits_of, inner, outer = _network(1, 0.3)
  images = np.random.default_rng(2).normal(size=(8, 2, 3, 2))
  images = images.astype(np.float32)
  found = jax.vmap(lambda image: boundary_distance(logits_of, image))(images)
  expected, numbers = zip(*(_slow(image, inner, outer) for image in images))
  np.testing.assert_allclose(found, expected, rtol=1e-3)
  assert max(numbers) > 1  # Linear it is not.


def test_a_network_that_says_nothing_ends():
  found = boundary_distance(lambda x: jnp.zeros(4), np.ones((2, 3, 2)))
  assert np.isfinite(found)


def test_it_is_a_score_of_the_gradient_pass():
  model = make_model('simple_cnn', num_classes=3, width=2)
  variables = init_variables(model, (8, 8, 1), np.zeros(2, np.uint32))
  images = np.random.default_rng(3).normal(size=(4, 8, 8, 1))
  step = make_gradient_step(model, ('deepfool',), GradientSettings())
  scores = step(
    {'batch_stats': {}, **variables},
    jnp.asarray(images, jnp.float32),
    jnp.zeros(4, jnp.int32),
  )
  assert {*scores} == {'deepfool'}
  assert scores['deepfool'].shape == (4,)
  assert (np.asarray(scores['deepfool']) > 0).all()
