"""What all tests of training share: one compilation cache, no TensorFlow."""

import os

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache as jax_cache

from datadiet.models import MODELS
from datadiet.training import history
from tests.training.small_runs import SmallNet


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


@pytest.fixture(autouse=True)
def no_event_files(monkeypatch):
  """Importing TensorFlow takes seconds; one test of the history does it."""
  monkeypatch.setattr(history, '_event_writer', lambda folder: None)


@pytest.fixture(autouse=True)
def small_net(monkeypatch):
  """Makes the smallest network known by name."""
  monkeypatch.setitem(MODELS, 'small_net', SmallNet)
