"""A network, a score, a policy, a data set and a schedule of one's own.

    cd examples
    python -m datadiet.main --config=cnn_digits --workdir=DIR \\
      --config.plugins=plugin --config.dataset.name=stripes \\
      --config.model.name=mlp --config.model.options.depth=3 \\
      --config.optimizer.schedule=staircase --config.score.names=el2n,doubt \\
      --config.select.scores=doubt --config.select.policies=every_other

A plugin is a module that adds entries to datadiet's dicts. It is imported
before the settings are checked, so that its names are settings like all others.
"""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import optax

from datadiet.data import DATASETS, Dataset, Source, Split
from datadiet.data.dataset import make_dataset
from datadiet.models import MODELS
from datadiet.scoring import registry
from datadiet.selection import POLICIES, Policy
from datadiet.settings import Setting, checks
from datadiet.training.optimizer import SCHEDULES


class MLP(nn.Module):
  """Dense layers; `depth` is set by --config.model.options.depth."""

  num_classes: int
  width: int = 32
  dtype: jnp.dtype = jnp.float32
  depth: int = 2

  @nn.compact
  def __call__(self, images, train: bool = False):
    """float32[batch, height, width, channels] -> float32[batch, classes]."""
    del train
    hidden = images.reshape(len(images), -1).astype(self.dtype)
    for _ in range(self.depth):
      hidden = nn.relu(nn.Dense(self.width, dtype=self.dtype)(hidden))
    return nn.Dense(self.num_classes)(hidden.astype(jnp.float32))


def doubt(outputs) -> jnp.ndarray:
  """One minus the largest probability: float32[batch]."""
  return 1 - jnp.exp(outputs.log_probs).max(-1)


def every_other(inputs, num_keep: int, *, rng, stride: int) -> np.ndarray:
  """Every `stride`-th example from the highest score on: int64[num_keep]."""
  del rng
  order = np.argsort(-inputs.array('scores'), kind='stable')
  turns = np.argsort(np.arange(len(order)) % stride, kind='stable')
  return np.sort(order[turns][:num_keep])


def load_stripes(settings) -> Dataset:
  """Noisy stripes, lying or standing; `settings` is config.dataset."""
  del settings
  rng = np.random.default_rng(0)

  def split(name: str, size: int) -> Split:
    labels = rng.integers(0, 2, size).astype(np.int32)
    images = rng.integers(0, 100, (size, 8, 8, 1))
    images[labels == 0, ::2] += 100
    images[labels == 1, :, ::2] += 100
    ids = np.array([f'{name}_{number}' for number in range(size)])
    return Split(images.astype(np.uint8), labels, ids)

  return make_dataset(
    'stripes', split('train', 512), split('test', 128), ('lying', 'standing')
  )


def staircase(settings, horizon: int) -> optax.Schedule:
  """Half the learning rate after each quarter of the horizon."""
  return optax.exponential_decay(
    settings.learning_rate, max(horizon // 4, 1), 0.5, staircase=True
  )


MODELS['mlp'] = MLP
SCHEDULES['staircase'] = staircase
DATASETS['stripes'] = Source(load_stripes)
registry.SCORES['doubt'] = registry.Score(
  kind=registry.FORWARD,
  function=doubt,
  definition='1 - max_k p_k',
  higher_is='harder',
  based_on='probabilities',
  source='examples/plugin.py',
)
POLICIES['every_other'] = Policy(
  function=every_other,
  needs=frozenset({'scores'}),
  nested=True,
  summary='every so many-th example from the highest score on',
  source='examples/plugin.py',
  options={
    'stride': Setting(2, checks.integer(1), 'of which so many one is kept')
  },
)
