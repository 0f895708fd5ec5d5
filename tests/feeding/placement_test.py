"""Tests of where pixels live: the same batches from device and host."""

import jax
import numpy as np
import pytest

from datadiet.data.dataset import Split
from datadiet.feeding import placement as placement_lib
from datadiet.feeding.placement import DevicePlacement, HostPlacement, place
from datadiet.runtime import mesh as mesh_lib
from tests.data import formats


@pytest.fixture
def split(tmp_path):
  """A memory-mapped split."""
  path = tmp_path / 'images.npy'
  np.save(path, formats.random_images(50, 8))
  images = np.load(path, mmap_mode='r')
  labels = (np.arange(50) % 7).astype(np.int32)
  return Split(images, labels, np.array([f'{i}' for i in range(50)]))


def _batch(split, placement, index, mesh):
  placed = place(split, mesh.replicated, placement)
  feed = mesh.put(placed.feed(index), mesh.batch_sharding(1))
  batch = jax.jit(placed.gather)(placed.resident, feed)
  return jax.tree.map(np.asarray, batch)


@pytest.mark.parametrize('num_devices', [1, 8])
@pytest.mark.parametrize('parallel_bytes', [0, 2**22])
def test_host_and_device_give_the_same_batches(
  split, monkeypatch, num_devices, parallel_bytes
):
  monkeypatch.setattr(placement_lib, '_PARALLEL_BYTES', parallel_bytes)
  mesh = mesh_lib.flat_mesh(jax.devices()[:num_devices])
  index = np.random.default_rng(0).integers(0, 50, (1, 24)).astype(np.int32)
  index[0, -3:] = -1
  device = _batch(split, 'device', index, mesh)
  host = _batch(split, 'host', index, mesh)
  assert set(device) == {'image', 'label', 'example_index', 'mask'}
  for name in device:
    np.testing.assert_array_equal(device[name], host[name])
    assert device[name].dtype == host[name].dtype
  real = index[0, :-3]
  np.testing.assert_array_equal(host['image'][0, :-3], split.images[real])
  np.testing.assert_array_equal(host['label'][0, :-3], split.labels[real])
  assert host['mask'].tolist() == [[True] * 21 + [False] * 3]


def test_feed_of_the_device_is_indices_alone(split):
  mesh = mesh_lib.flat_mesh()
  placed = place(split, mesh.replicated, 'device')
  assert set(placed.feed(np.zeros((1, 8), np.int32))) == {'example_index'}


def test_auto_puts_what_fits_on_the_device(split, monkeypatch):
  sharding = mesh_lib.flat_mesh().replicated
  assert isinstance(place(split, sharding), DevicePlacement)
  # Eight devices share the host's memory, a copy for each.
  num_bytes = split.images.nbytes * 4 * 8
  for memory, kind in (
    (num_bytes, DevicePlacement),
    (num_bytes - 1, HostPlacement),
  ):
    monkeypatch.setattr(placement_lib, '_host_memory', lambda m=memory: m)
    assert isinstance(place(split, sharding), kind)


def test_host_memory_is_known():
  assert 2**28 < placement_lib._host_memory()
