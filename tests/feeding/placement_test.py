"""Tests of where pixels live: the same batches from device and host."""

import dataclasses
import gc
import io

import jax
import numpy as np
import pytest
from PIL import Image

from datadiet.data.dataset import Split
from datadiet.data.packed import PackedWriter, cropped
from datadiet.decoders.crops import Crops
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


@pytest.mark.parametrize('kind', ['device', 'host'])
def test_scores_see_the_middle_and_training_all(split, kind):
  mesh = mesh_lib.flat_mesh(jax.devices()[:1])
  split = dataclasses.replace(split, crop_size=5)
  index = np.arange(6, dtype=np.int32)
  placed = place(split, mesh.replicated, kind)
  feed = placed.feed(index)
  seen = placed.gather(placed.resident, feed)['image']
  whole = placed.gather(placed.resident, feed, whole=True)['image']
  np.testing.assert_array_equal(whole, split.images[:6])
  np.testing.assert_array_equal(seen, split.images[:6, 1:6, 1:6])


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
    monkeypatch.setattr(placement_lib, 'host_memory', lambda m=memory: m)
    assert isinstance(place(split, sharding), kind)


def _copies(split):
  """How often the pixels of a split lie on the devices."""
  gc.collect()  # What other tests left behind.
  return sum(
    array.dtype == np.uint8 and array.nbytes == split.images.nbytes
    for array in jax.live_arrays()
  )


def test_pixels_lie_flat(split):
  resident = place(split, mesh_lib.flat_mesh().replicated, 'device').resident
  assert resident['image'].shape == (50, split.images[0].size)


def test_pixels_are_placed_once_for_all_meshes_and_labels(split):
  before = _copies(split)
  placements = placement_lib.Placements('device')
  placed = [
    placements.of(one, mesh.replicated)
    for mesh in (mesh_lib.make_run_mesh(4, 8), mesh_lib.flat_mesh())
    for one in (
      split,
      dataclasses.replace(split, labels=6 - split.labels),
    )
  ]
  assert _copies(split) == before + 1
  for number, one in enumerate(placed):
    labels = 6 - split.labels if number % 2 else split.labels
    np.testing.assert_array_equal(one.resident['label'], labels)
  # A program for one mesh takes what was placed by another as it is.
  flat = mesh_lib.flat_mesh()
  feed = flat.put(placed[0].feed(np.zeros((1, 8), np.int32)), flat.replicated)
  gather = flat.jit(placed[0].gather, out_shardings=flat.replicated)
  with jax.transfer_guard('disallow'):
    gather(placed[0].resident, feed)
  assert _copies(split) == before + 1


def test_other_devices_and_other_pixels_are_placed_anew(split):
  placements = placement_lib.Placements('device')
  before = _copies(split)
  two = mesh_lib.flat_mesh(jax.devices()[:2])
  first = placements.of(split, mesh_lib.flat_mesh().replicated)
  second = placements.of(split, two.replicated)
  assert first is placements.of(split, mesh_lib.flat_mesh().replicated)
  assert first is not second
  images = np.array(split.images)[::-1].copy()
  other = dataclasses.replace(split, images=images)
  third = placements.of(other, two.replicated)
  assert _copies(split) == before + 3
  found = np.asarray(third.resident['image']).reshape(images.shape)
  np.testing.assert_array_equal(found, images)


def test_host_memory_is_known():
  assert 2**28 < placement_lib.host_memory()


@pytest.fixture
def packed_split(split, tmp_path):
  """The same images, each a file of its own in one of records."""
  options = (0, 'white', 'squash')
  writer = PackedWriter(str(tmp_path / 'images'), split.images.shape, options)
  for position, image in enumerate(split.images):
    content = io.BytesIO()
    Image.fromarray(image).save(content, 'PNG')
    writer.append(position, content.getvalue())
  return dataclasses.replace(split, images=writer.finish())


@pytest.mark.parametrize('num_devices', [1, 8])
def test_encoded_images_give_the_same_batches(split, packed_split, num_devices):
  mesh = mesh_lib.flat_mesh(jax.devices()[:num_devices])
  index = np.random.default_rng(0).integers(0, 50, (1, 24)).astype(np.int32)
  index[0, -3:] = -1
  expected = _batch(split, 'device', index, mesh)
  for kind in ('stream', 'auto'):
    found = _batch(packed_split, kind, index, mesh)
    assert found.keys() == expected.keys()
    for name in found:
      np.testing.assert_array_equal(found[name], expected[name])
      assert found[name].dtype == expected[name].dtype


def test_a_process_decodes_what_it_sends_alone(packed_split, monkeypatch):
  asked = []
  monkeypatch.setattr(
    placement_lib,
    'decoded',
    lambda images, position: asked.append(position) or images[position],
  )
  mesh = mesh_lib.flat_mesh(jax.devices()[:1])
  placed = place(packed_split, mesh.replicated, 'stream')
  index = np.arange(24, dtype=np.int32).reshape(2, 12)
  images = placed.feed(index)['image']
  assert not asked and images.shape == (2, 12, 8, 8, 3)
  part = images[slice(0, 1), slice(4, 8), slice(None)]
  np.testing.assert_array_equal(part[0], packed_split.images[4:8])
  (position,) = asked
  assert position.tolist() == [[4, 5, 6, 7]]


def test_a_process_cuts_what_it_sends_alone(packed_split, monkeypatch):
  """Each image by its own seed, whatever part of a batch a process sends."""
  mesh = mesh_lib.flat_mesh(jax.devices()[:1])
  placed = place(packed_split, mesh.replicated, 'stream')
  index = np.arange(24, dtype=np.int32).reshape(2, 12)
  seeds = np.arange(100, 124, dtype=np.uint64).reshape(2, 12)
  crops = Crops(seeds, 6, 0.3)
  whole = cropped(packed_split.images, index, crops)
  asked = []
  monkeypatch.setattr(
    placement_lib,
    'cropped',
    lambda images, position, crops: (
      asked.append(position) or cropped(images, position, crops)
    ),
  )
  images = placed.feed(index, crops)['image']
  assert not asked and images.shape == (2, 12, 6, 6, 3)
  part = images[slice(1, 2), slice(4, 8), slice(None)]
  np.testing.assert_array_equal(part, whole[1:2, 4:8])
  (position,) = asked
  assert position.tolist() == [[16, 17, 18, 19]]
