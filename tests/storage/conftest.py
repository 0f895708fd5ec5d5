"""Local object stores, in this process or for others."""

import asyncio
import importlib

import fsspec
import pytest
from etils.epath import backend

from tests.storage import stores

# Where the libraries wait between attempts.
_WAITING = ('aiobotocore.endpoint', 'gcsfs.retry', 's3fs.core')


@pytest.fixture(scope='session', params=['s3', 'gs'])
def server(request, tmp_path_factory):
  """Each of the stores in turn."""
  with _server(request.param, tmp_path_factory) as store:
    yield store


@pytest.fixture(scope='session')
def s3_server(tmp_path_factory):
  """The store that tests of whole runs use."""
  with _server('s3', tmp_path_factory) as store:
    yield store


def _server(scheme, tmp_path_factory):
  log = tmp_path_factory.mktemp('server') / f'{scheme}.log'
  return stores.running(scheme, log)


@pytest.fixture
def use(monkeypatch):
  """Makes this process use a store."""

  def use(store):
    for name, value in store.env.items():
      monkeypatch.setenv(name, value)
    if store.scheme == 'gs':
      monkeypatch.setitem(
        fsspec.config.conf,
        'gs',
        {**fsspec.config.conf['gs'], 'token': 'anon'},
      )
    _forget()
    return store

  yield use
  _forget()


def _forget():
  for name in ('s3', 'gs'):
    fsspec.get_filesystem_class(name).clear_instance_cache()
  backend.fsspec_backend._get_filesystem.cache_clear()


@pytest.fixture
def store(server, use):
  """A store that this process uses."""
  return use(server)


@pytest.fixture
def gateway(server, use):
  """A store that this process uses through a gateway."""
  found = stores.Gateway(server)
  use(found.store)
  yield found
  _forget()
  found.close()


class _Impatient:
  """The module asyncio, whose sleep only notes how long it should be."""

  def __init__(self):
    self.waits = []

  def __getattr__(self, name):
    return getattr(asyncio, name)

  async def sleep(self, seconds):
    """Does not."""
    self.waits.append(seconds)


@pytest.fixture
def waits(monkeypatch):
  """Seconds that would be waited between attempts; they are not."""
  impatient = _Impatient()
  for name in _WAITING:
    module = importlib.import_module(name)
    monkeypatch.setattr(module, 'asyncio', impatient)
  return impatient.waits
