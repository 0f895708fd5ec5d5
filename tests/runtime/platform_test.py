"""Tests which devices say what is compiled."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, SingleDeviceSharding

from datadiet.runtime import compilation
from datadiet.runtime.mesh import RunMesh
from datadiet.runtime.platform import platform_of
from tools import house


def _stand_in(platform, num_devices=4):
  """A mesh of devices that are not there."""
  devices = [
    types.SimpleNamespace(platform=platform, id=i, process_index=0)
    for i in range(num_devices)
  ]
  shape = {'run': 1, 'data': num_devices}
  return types.SimpleNamespace(devices=np.array([devices]), shape=shape)


@pytest.mark.parametrize('platform', ['cpu', 'gpu', 'tpu'])
def test_devices_say_it_and_not_the_process(platform):
  devices = _stand_in(platform).devices
  assert platform_of(devices) == platform
  assert platform_of(list(devices[0])) == platform
  assert platform_of(devices[0, 0]) == platform


def test_meshes_shardings_and_arrays_say_it():
  device = jax.devices()[0]
  places = [
    None,
    Mesh(np.array([device]), 'x'),
    SingleDeviceSharding(device),
    jnp.zeros(1),
    device,
  ]
  assert [platform_of(place) for place in places] == ['cpu'] * len(places)


@pytest.mark.parametrize(
  ('platform', 'batch_size'), [('cpu', 512), ('gpu', 1000), ('tpu', 1000)]
)
def test_what_a_mesh_decides_follows_its_devices(
  platform, batch_size, monkeypatch
):
  monkeypatch.setattr(jax, 'default_backend', None)
  mesh = RunMesh(_stand_in(platform))
  monkeypatch.setattr(RunMesh, 'platform', platform_of(mesh.mesh.devices))
  assert mesh.forward_batch_size(1000) == batch_size
  asked = []
  monkeypatch.setattr(
    compilation, '_cpu_options', lambda run_once: asked.append(run_once) or {}
  )
  mesh.jit(lambda value: value)
  assert asked == ([False] if platform == 'cpu' else [])


def test_nothing_asks_for_the_default_backend():
  benchmarks = (house.REPOSITORY / 'benchmarks').glob('*.py')
  for path in [*house.modules(), *benchmarks]:
    assert 'default_backend' not in path.read_text(), path
