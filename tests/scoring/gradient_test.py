"""Tests datadiet.scoring.gradient against gradients formed one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from datadiet.data.dataset import Split
from datadiet.models import make_model
from datadiet.runtime.mesh import flat_mesh
from datadiet.runtime.randomness import run_key
from datadiet.scoring.engine import ScoringEngine
from datadiet.scoring.gradient import (
  balanced_sample,
  leaf_names,
  make_gradient_step,
  subset_paths,
)
from datadiet.scoring.settings import GradientSettings
from datadiet.training.state import init_variables

NUM_EXAMPLES, NUM_CLASSES = 22, 3
MEAN, STD = np.float32([0.5]), np.float32([0.3])
SETTINGS = GradientSettings(
  grand_subset='Conv_[01]', per_layer=True, unclog_sample_size=9
)
NAMES = ('grand', 'grand_subset', 'unclog')


class _Linear:
  """Logits that are an affine function of the inputs."""

  def apply(self, variables, inputs, train):
    params = variables['params']
    return inputs @ params['kernel'] + params['bias']


@pytest.fixture(scope='module')
def network():
  model = make_model('simple_cnn', num_classes=NUM_CLASSES, width=4)
  return model, init_variables(model, (8, 8, 1), run_key(0, 0, 1))


@pytest.fixture(scope='module')
def split():
  rng = np.random.default_rng(0)
  return Split(
    rng.integers(0, 256, (NUM_EXAMPLES, 8, 8, 1), np.uint8),
    rng.integers(0, NUM_CLASSES, NUM_EXAMPLES).astype(np.int32),
    np.array([f'train_{i}' for i in range(NUM_EXAMPLES)]),
  )


def score(split, network, num_devices=1, chunk_size=8, trainable='all'):
  model, variables = network
  engine = ScoringEngine(
    split,
    model,
    NAMES,
    mean=MEAN,
    std=STD,
    chunk_size=chunk_size,
    mesh=flat_mesh(jax.devices()[:num_devices]),
    gradient=SETTINGS,
    trainable=trainable,
  )
  return engine.score(variables)


@pytest.fixture(scope='module')
def scores(split, network):
  return score(split, network)


def gradients(split, network, of_loss):
  """The gradient of every example, by jax.grad, one at a time."""
  model, variables = network

  @jax.jit
  def gradient(image, label):
    image = (image[None] / 255.0 - MEAN) / STD

    def value(params):
      logits = model.apply({'params': params}, image, train=False)[0]
      return -jax.nn.log_softmax(logits)[label] if of_loss else logits.sum()

    return jax.grad(value)(variables['params'])

  return [
    gradient(jnp.float32(image), label)
    for image, label in zip(split.images, split.labels, strict=True)
  ]


def norm(tree, keep=lambda path: True):
  leaves = dict(zip(leaf_names(tree), jax.tree.leaves(tree), strict=True))
  chosen = [leaf for path, leaf in leaves.items() if keep(path)]
  return np.sqrt(sum(np.sum(np.float64(leaf) ** 2) for leaf in chosen))


def test_grand_is_the_norm_of_the_whole_gradient(split, network, scores):
  expected = [norm(one) for one in gradients(split, network, of_loss=True)]
  np.testing.assert_allclose(scores['grand'], expected, rtol=1e-5)


def test_grand_subset_is_the_norm_in_the_params_that_match(
  split, network, scores
):
  expected = [
    norm(one, lambda path: path.startswith(('Conv_0', 'Conv_1')))
    for one in gradients(split, network, of_loss=True)
  ]
  np.testing.assert_allclose(scores['grand_subset'], expected, rtol=1e-5)
  assert np.all(scores['grand_subset'] < scores['grand'])


def test_layers_are_named_and_make_up_the_whole(split, network, scores):
  names = leaf_names(network[1]['params'])
  layers = scores['grand_layers']
  assert layers.shape == (NUM_EXAMPLES, len(names))
  one = gradients(split, network, of_loss=True)[3]
  for name, value in zip(names, layers[3], strict=True):
    np.testing.assert_allclose(
      value, norm(one, lambda path, name=name: path == name), rtol=1e-5
    )
  np.testing.assert_allclose(
    np.sqrt((np.float64(layers) ** 2).sum(1)), scores['grand'], rtol=1e-6
  )


@pytest.mark.parametrize('margin', [0.0, 8.0, 14.0, 18.0, 24.0, 30.0])
def test_confident_examples_keep_their_digits(margin):
  """Of a linear model |gradient| = |e| sqrt(|x|^2 + 1), here in float64."""
  rng = np.random.default_rng(0)
  num_classes, num_examples = 10, 16
  inputs = rng.uniform(-3.0, 0.0, (num_examples, num_classes))
  labels = rng.integers(num_classes, size=num_examples).astype(np.int32)
  rows = np.arange(num_examples)
  inputs[rows, labels] = margin
  inputs = inputs.astype(np.float32)
  params = {'kernel': jnp.eye(num_classes), 'bias': jnp.zeros(num_classes)}
  step = make_gradient_step(
    _Linear(), ('grand', 'grand_subset'), GradientSettings('bias', True)
  )
  scores = jax.jit(step)({'params': params, 'batch_stats': {}}, inputs, labels)
  gaps = np.exp(np.float64(inputs) - np.float64(inputs)[rows, labels, None])
  gaps[rows, labels] = 0.0
  error = gaps / (1.0 + gaps.sum(1, keepdims=True))
  error[rows, labels] = -error.sum(1)
  error = np.linalg.norm(error, axis=1)
  length = np.linalg.norm(np.float64(inputs), axis=1)
  expected = {
    'grand': error * np.sqrt(length**2 + 1),
    'grand_subset': error,
    'grand_layers': np.stack([error, error * length], 1),
  }
  for name, values in expected.items():
    np.testing.assert_allclose(scores[name], values, rtol=1e-5, err_msg=name)


def test_leaves_with_equal_paths_all_count():
  class TwoLayers:
    def apply(self, variables, inputs, train):
      params = variables['params']
      return inputs @ params['a/b'] + jnp.sin(inputs) @ params['a']['b']

  params = {'a/b': jnp.eye(4), 'a': {'b': jnp.eye(4)}}
  inputs = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
  scores = [
    make_gradient_step(TwoLayers(), names, GradientSettings('b'))(
      {'params': params, 'batch_stats': {}}, inputs, np.arange(3)
    )
    for names in (('grand',), ('grand', 'grand_subset'))
  ]
  for name in scores[1]:
    np.testing.assert_allclose(scores[1][name], scores[0]['grand'], rtol=1e-6)


def test_unclog_is_the_distance_from_the_mean_of_the_sample(
  split, network, scores
):
  all_gradients = gradients(split, network, of_loss=False)
  sample = balanced_sample(split.labels, 9, seed=0)
  mean = jax.tree.map(
    lambda *leaves: np.mean(np.float64(leaves), 0),
    *[all_gradients[i] for i in sample],
  )
  expected = [
    norm(jax.tree.map(lambda a, b: np.float64(a) - b, one, mean))
    for one in all_gradients
  ]
  # The sum cancels: the error is relative to |g|^2 / unclog^2.
  lengths = np.array([norm(one) for one in all_gradients])
  tolerance = 1e-6 * (lengths / expected) ** 2 * expected + 1e-6
  assert np.all(np.abs(scores['unclog'] - expected) < tolerance)


def test_scores_of_a_trained_part_are_of_its_gradient(split, network):
  found = score(split, network, trainable='head')
  expected = [
    norm(one, lambda path: path.startswith('Dense_0'))
    for one in gradients(split, network, of_loss=True)
  ]
  np.testing.assert_allclose(found['grand'], expected, rtol=1e-5)
  of_logits = gradients(split, network, of_loss=False)
  sample = balanced_sample(split.labels, 9, seed=0)
  heads = [np.float64(one['Dense_0']['kernel']) for one in of_logits]
  mean = np.mean([heads[i] for i in sample], 0)
  # The gradient in the bias is the same for all.
  expected = [np.linalg.norm(head - mean) for head in heads]
  np.testing.assert_allclose(found['unclog'], expected, rtol=1e-3, atol=1e-4)


def test_devices_and_chunks_do_not_matter(split, network, scores):
  spread = score(split, network, num_devices=8, chunk_size=16)
  for name in ('grand', 'grand_subset', 'grand_layers'):
    np.testing.assert_allclose(spread[name], scores[name], rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(spread['unclog'], scores['unclog'], rtol=1e-4)


def test_the_sample_is_balanced_and_repeats():
  labels = np.array([0] * 50 + [1] * 30 + [2] * 2)
  sample = balanced_sample(labels, 12, seed=3)
  assert np.bincount(labels[sample]).tolist() == [4, 4, 2]
  assert np.array_equal(sample, balanced_sample(labels, 12, seed=3))
  assert not np.array_equal(sample, balanced_sample(labels, 12, seed=4))


def test_a_pattern_is_searched_for_in_paths():
  paths = ['Conv_0/kernel', 'Conv_0/bias', 'Dense_0/kernel']
  assert subset_paths(paths, 'Conv.*kernel') == ['Conv_0/kernel']
  assert subset_paths(paths, 'Norm') == []
