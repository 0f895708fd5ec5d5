"""Tests datadiet.score_examples, as somebody with a model would call it."""

import flax.linen as nn
import jax
import numpy as np
import pytest
from flax import nnx

import datadiet
from datadiet.errors import DataDietError
from datadiet.scoring.settings import GradientSettings

NUM_EXAMPLES, NUM_CLASSES = 21, 5


class SmallNet(nn.Module):
  """With batch norm, and a train argument."""

  @nn.compact
  def __call__(self, images, train=True):
    hidden = nn.Conv(6, (3, 3))(images)
    hidden = nn.BatchNorm(use_running_average=not train)(hidden)
    return nn.Dense(NUM_CLASSES)(nn.relu(hidden).mean((1, 2)))


class Perceptron(nnx.Module):
  """Without any collection but params."""

  def __init__(self, rngs):
    self.dense = nnx.Linear(48, NUM_CLASSES, rngs=rngs)

  def __call__(self, images):
    return self.dense(images.reshape(images.shape[0], -1))


@pytest.fixture(scope='module')
def arrays():
  rng = np.random.default_rng(0)
  images = rng.normal(size=(NUM_EXAMPLES, 4, 4, 3)).astype(np.float32)
  return images, rng.integers(0, NUM_CLASSES, NUM_EXAMPLES)


def expected_scores(apply_fn, params, images, labels):
  """EL2N and GraNd, one example at a time."""

  @jax.jit
  def both(image, label):
    def loss(params):
      return -jax.nn.log_softmax(apply_fn(params, image[None])[0])[label]

    grads = jax.tree.leaves(jax.grad(loss)(params))
    probs = jax.nn.softmax(apply_fn(params, image[None])[0])
    error = probs - jax.nn.one_hot(label, NUM_CLASSES)
    squares = sum((leaf**2).sum() for leaf in grads)
    return (error**2).sum() ** 0.5, squares**0.5

  return np.array([both(*one) for one in zip(images, labels, strict=True)]).T


def test_a_linen_module_is_run_in_eval_mode(arrays):
  model = SmallNet()
  variables = model.init(jax.random.key(0), arrays[0])
  scores = datadiet.score_examples(
    model, variables, *arrays, ('el2n', 'grand'), batch_size=8
  )

  def apply_fn(params, images):
    inputs = {**variables, 'params': params}
    return model.apply(inputs, images, train=False)

  el2n, grand = expected_scores(apply_fn, variables['params'], *arrays)
  np.testing.assert_allclose(scores['el2n'], el2n, rtol=1e-5)
  np.testing.assert_allclose(scores['grand'], grand, rtol=1e-5)
  assert scores['prediction'].shape == (NUM_EXAMPLES,)


def test_an_nnx_module_is_given_as_a_function(arrays):
  graph, params = nnx.split(Perceptron(nnx.Rngs(0)))

  def apply_fn(variables, images):
    return nnx.merge(graph, variables['params'])(images)

  scores = datadiet.score_examples(
    apply_fn, {'params': params}, *arrays, ('l2_error', 'grad_norm')
  )
  el2n, grand = expected_scores(
    lambda params, images: nnx.merge(graph, params)(images), params, *arrays
  )
  np.testing.assert_allclose(scores['el2n'], el2n, rtol=1e-5)
  np.testing.assert_allclose(scores['grand'], grand, rtol=1e-5)


@pytest.mark.parametrize(
  ('scores', 'change', 'message'),
  [
    (('el3n',), None, "unknown score 'el3n'.*did you mean el2n"),
    (('forgetting',), None, 'more than one network'),
    (('el2n',), lambda x, y: (x, y[:-1]), 'equally many'),
    (('el2n',), lambda x, y: (x, y - 1), 'integers from 0'),
    (('el2n',), lambda x, y: (x, y * 2), 'no class of the model'),
    (('el2n',), lambda x, y: ((x * 9).astype(np.uint8), y), 'raw pixels; pass'),
    (('el2n',), lambda x, y: ((x * 9).astype(int), y), 'int64, raw pixels; p'),
    (('el2n',), lambda x, y: (np.where(x > 0, np.nan, x), y), 'must be finite'),
    (('grand_last',), None, 'sows no features'),
  ],
)
def test_bad_input_is_one_sentence(arrays, scores, change, message):
  model = SmallNet()
  variables = model.init(jax.random.key(0), arrays[0])
  changed = change(*arrays) if change else arrays
  with pytest.raises(DataDietError, match=message):
    datadiet.score_examples(model, variables, *changed, scores)


class _FromTorch:
  """Looks as a PyTorch module does to somebody who has none installed."""

  def __call__(self, images):
    raise AssertionError('it cannot be run')


_FromTorch.__module__ = 'torch.nn.modules.module'


class _OwnTorch(_FromTorch):
  """A class of a user's own, derived from PyTorch's."""


@pytest.mark.parametrize(
  'model, variables, message',
  [
    (_FromTorch(), {'params': {}}, 'a PyTorch module.*JAX function'),
    (_OwnTorch(), None, 'a PyTorch module.*numpy arrays'),
    (Perceptron(nnx.Rngs(0)), None, 'an NNX module.*nnx.split'),
    ('resnet18', {'params': {}}, 'model is str; allowed'),
    (SmallNet(), None, "variables is NoneType; .*'params'"),
    (SmallNet(), [1], "variables is list; .*'params'"),
    (SmallNet(), {'kernel': 1}, "a dict of kernel; .*'params'"),
    (SmallNet(), {}, 'a dict of nothing'),
  ],
)
def test_models_of_other_libraries_are_told_what_to_pass(
  arrays, model, variables, message
):
  with pytest.raises(DataDietError, match=message) as caught:
    datadiet.score_examples(model, variables, *arrays)
  assert '\n' not in str(caught.value)


def test_a_subset_of_no_parameters_is_refused(arrays):
  def apply_fn(variables, images):
    return images.reshape(len(images), -1) @ variables['params']['kernel']

  params = {'kernel': np.ones((48, NUM_CLASSES), np.float32)}
  with pytest.raises(DataDietError, match="'bias' is found in no path.*kernel"):
    datadiet.score_examples(
      apply_fn,
      {'params': params},
      *arrays,
      'grand_subset',
      gradient=GradientSettings(grand_subset='bias'),
    )


class Drops(nn.Module):
  """Drops in evaluation too."""

  @nn.compact
  def __call__(self, images, train=True):
    hidden = nn.Dropout(0.5, deterministic=False)(images.reshape(4, -1))
    return nn.Dense(NUM_CLASSES)(hidden)


def test_a_model_that_draws_where_it_is_scored_is_refused():
  images = np.zeros((4, 8, 8, 3), np.float32)
  keys = {'params': jax.random.key(0), 'dropout': jax.random.key(1)}
  variables = Drops().init(keys, images)
  with pytest.raises(DataDietError, match='the model draws random numbers'):
    datadiet.score_examples(Drops(), variables, images, np.zeros(4, int))
