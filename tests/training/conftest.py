"""What all tests of training share: one compilation cache, no TensorFlow."""

import os

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache as jax_cache

from datadiet.models import MODELS
from datadiet.training import history
from tests.training.small_runs import SmallNet, outcome, train


@pytest.fixture(scope='package', autouse=True)
def compilation_cache(tmp_path_factory):
  """Compiles each program once for all tests here and all their workers."""
  folder = tmp_path_factory.getbasetemp()
  if 'PYTEST_XDIST_WORKER' in os.environ:
    folder = folder.parent
  options = {
    'jax_compilation_cache_dir': str(folder / 'xla'),
    'jax_persistent_cache_min_compile_time_secs': 0.1,
  }
  before = {name: getattr(jax.config, name) for name in options}
  jax_cache.reset_cache()
  for name, value in options.items():
    jax.config.update(name, value)
  yield
  jax_cache.reset_cache()
  for name, value in before.items():
    jax.config.update(name, value)


@pytest.fixture(scope='package', autouse=True)
def small_world():
  """Makes the smallest network known by name, and leaves out event files.

  They need TensorFlow, whose import takes seconds; a test of the history alone
  writes them.
  """
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(MODELS, 'small_net', SmallNet)
    patch.setattr(history, '_event_writer', lambda folder: None)
    yield


@pytest.fixture(scope='package')
def uninterrupted(tmp_path_factory, small_world):
  """What run 0 leaves when nothing happens to it."""
  folder = tmp_path_factory.mktemp('uninterrupted')
  train(folder)
  return outcome(folder / 'run_00')


class Compilations:
  """Counts programs that are compiled, or loaded from the cache."""

  def __init__(self):
    self.count = 0

  def __call__(self, event, duration, **details):
    del duration, details
    self.count += event == '/jax/core/compile/backend_compile_duration'


@pytest.fixture
def compilations():
  """How many programs were compiled so far in a test."""
  counter = Compilations()
  jax.monitoring.register_event_duration_secs_listener(counter)
  yield counter
  jax.monitoring.unregister_event_duration_listener(counter)
