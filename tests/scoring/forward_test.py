"""Tests of the forward scores against plain numpy in float64."""

import jax
import numpy as np
import pytest

from datadiet.scoring import forward
from datadiet.workdir import top_probs

_NUM_CLASSES = 10


def _reference(logits, labels) -> dict[str, np.ndarray]:
  """All scores by their definitions, in float64."""
  logits = logits.astype(np.float64)
  rows = np.arange(len(labels))
  shifted = logits - logits.max(-1, keepdims=True)
  below_top = np.sort(shifted)[:, :-1]
  # By log1p: where one class has all but 1e-13, float64 runs short too.
  log_probs = shifted - np.log1p(np.exp(below_top).sum(-1, keepdims=True))
  probs = np.exp(log_probs)
  others = probs.copy()
  others[rows, labels] = 0.0
  error = others.copy()
  error[rows, labels] = -others.sum(-1)
  own = probs[rows, labels]
  largest_other = np.delete(
    probs.ravel(), rows * _NUM_CLASSES + labels
  ).reshape(len(labels), -1)
  own_logit = logits[rows, labels]
  gaps = np.exp(logits - own_logit[:, None])
  gaps[rows, labels] = 0.0
  return {
    'el2n': np.linalg.norm(error, axis=-1),
    'el1n': np.abs(error).sum(-1),
    'max_margin': largest_other.max(-1) - own,
    'sum_margin': (largest_other - own[:, None]).sum(-1),
    'loss': np.log1p(gaps.sum(-1)),
    'entropy': -(probs * log_probs).sum(-1),
    'confidence': own,
    'least_confidence': np.sort(probs)[:, :-1].sum(-1),
    'margin': np.sort(probs)[:, -1] - np.sort(probs)[:, -2],
  }


_NAMES = (
  'el2n',
  'el1n',
  'max_margin',
  'sum_margin',
  'loss',
  'entropy',
  'confidence',
  'least_confidence',
  'margin',
)


@jax.jit
def _computed(logits, labels) -> dict[str, jax.Array]:
  outputs = forward.make_outputs(logits, labels)
  return {name: getattr(forward, name)(outputs) for name in _NAMES}


def _batch(scale=3.0, size=64):
  rng = np.random.default_rng(0)
  logits = (scale * rng.standard_normal((size, _NUM_CLASSES))).astype('float32')
  return logits, rng.integers(_NUM_CLASSES, size=size).astype(np.int32)


@pytest.mark.parametrize('scale', [0.0, 0.1, 3.0, 30.0])
def test_scores_are_those_of_numpy(scale):
  logits, labels = _batch(scale)
  expected = _reference(logits, labels)
  for name, values in _computed(logits, labels).items():
    np.testing.assert_allclose(
      values, expected[name], rtol=2e-5, atol=2e-6, err_msg=name
    )


@pytest.mark.parametrize('margin', [0.0, 1.0, 8.0, 14.0, 18.0, 24.0, 30.0])
@pytest.mark.parametrize('offset', [0.0, 50.0])
def test_confident_examples_keep_their_digits(margin, offset):
  rng = np.random.default_rng(1)
  logits = rng.uniform(-3.0, 0.0, (32, _NUM_CLASSES))
  labels = rng.integers(_NUM_CLASSES, size=32).astype(np.int32)
  logits[np.arange(32), labels] = margin
  logits = (logits + offset).astype(np.float32)
  expected = _reference(logits, labels)
  computed = _computed(logits, labels)
  for name in ('el2n', 'el1n', 'loss', 'entropy'):
    np.testing.assert_allclose(
      computed[name], expected[name], rtol=1e-5, err_msg=name
    )


def test_all_is_finite_for_extreme_logits():
  logits = np.full((2, _NUM_CLASSES), -1e4, np.float32)
  logits[:, 3] = 1e4
  labels = np.array([3, 4], np.int32)
  computed = _computed(logits, labels)
  for name, values in computed.items():
    assert np.isfinite(values).all(), name
  np.testing.assert_allclose(computed['el2n'], [0.0, np.sqrt(2.0)], rtol=1e-6)
  np.testing.assert_allclose(computed['loss'], [0.0, 2e4], rtol=1e-6)


def test_entropy_of_ties_and_of_classes_that_cannot_be():
  logits = np.full((3, _NUM_CLASSES), -np.inf, np.float32)
  for row, ties in enumerate((1, 2, 3)):
    logits[row, :ties] = 7.0
  outputs = forward.make_outputs(logits, np.zeros(3, np.int32))
  expected = np.log([1.0, 2.0, 3.0])
  np.testing.assert_allclose(forward.entropy(outputs), expected, rtol=1e-6)


def test_grand_last_is_the_gradient_of_the_last_layer():
  rng = np.random.default_rng(2)
  features = rng.standard_normal((16, 5)).astype(np.float32)
  kernel = rng.standard_normal((5, _NUM_CLASSES)).astype(np.float32)
  labels = rng.integers(_NUM_CLASSES, size=16).astype(np.int32)

  def loss(layer, feature, label):
    logits = feature @ layer['kernel'] + layer['bias']
    return -jax.nn.log_softmax(logits)[label]

  layer = {'kernel': kernel, 'bias': np.zeros(_NUM_CLASSES, np.float32)}
  gradients = jax.vmap(jax.grad(loss), (None, 0, 0))(layer, features, labels)
  expected = np.sqrt(
    np.square(gradients['kernel']).sum((1, 2))
    + np.square(gradients['bias']).sum(1)
  )
  outputs = forward.make_outputs(features @ kernel, labels, features)
  np.testing.assert_allclose(
    forward.grand_last(outputs), expected, rtol=1e-4, atol=1e-6
  )


def test_the_most_probable_classes_are_those_that_numpy_keeps(monkeypatch):
  monkeypatch.setattr(top_probs, 'NUM_KEPT', 3)
  rng = np.random.default_rng(0)
  probs = rng.dirichlet(np.ones(_NUM_CLASSES), 50).astype(np.float32)
  classes, kept = jax.jit(forward.most_probable)(probs)
  expected = top_probs.keep_most_probable([probs])
  assert classes.dtype == expected.classes.dtype == np.int16
  np.testing.assert_array_equal(classes, expected.classes)
  np.testing.assert_array_equal(kept, expected.probs)
