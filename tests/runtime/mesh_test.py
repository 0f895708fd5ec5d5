"""Tests datadiet.runtime.mesh: how runs and batches are laid over devices."""

import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from datadiet.errors import ConfigError
from datadiet.runtime import mesh as mesh_lib
from datadiet.runtime.mesh import make_run_mesh

SHAPES = [(1, 8), (2, 4), (4, 2), (8, 1)]


def mesh_of(slots, per_slot):
  devices = jax.devices()[: slots * per_slot]
  return make_run_mesh(slots, per_slot, runs_at_once=slots, devices=devices)


def shape_of(run_mesh):
  return run_mesh.num_slots, run_mesh.devices_per_slot


@pytest.mark.parametrize(
  'num_runs, batch_size, num_devices, expected',
  [
    (1, 128, 8, (1, 8)),
    (2, 128, 8, (2, 4)),
    (4, 128, 8, (4, 2)),
    (8, 128, 8, (8, 1)),
    # More runs than devices: as many at once as there are devices.
    (10, 128, 8, (8, 1)),
    (10, 128, 4, (4, 1)),
    # Two waves of 128 images a device are sooner than three of 64.
    (5, 128, 4, (4, 1)),
    # One wave with a device or two idle is sooner than two on all of them.
    (3, 128, 4, (4, 1)),
    (6, 128, 8, (8, 1)),
    (3, 128, 8, (4, 2)),
    # Of large batches, the images count more than the waves.
    (3, 1024, 4, (1, 4)),
    # A batch of 6 does not split over 8 or 4 devices, but over 2.
    (1, 6, 2, (1, 2)),
    (4, 6, 8, (4, 2)),
    # A batch of 1 cannot be split at all.
    (8, 1, 8, (8, 1)),
    (1, 128, 1, (1, 1)),
    (1, 128, 6, None),
    (6, 128, 6, (6, 1)),
    (3, 128, 6, (3, 2)),
  ],
)
def test_slots_are_chosen_so_that_all_runs_are_done_soonest(
  num_runs, batch_size, num_devices, expected
):
  devices = jax.devices()[:num_devices]
  if expected is None:
    with pytest.raises(ConfigError, match='does not split evenly'):
      make_run_mesh(num_runs, batch_size, devices=devices)
    return
  run_mesh = make_run_mesh(num_runs, batch_size, devices=devices)
  assert shape_of(run_mesh) == expected
  # Every device has its place, in order: neighbours share a slot.
  assert list(run_mesh.mesh.devices.flat) == devices


def test_what_is_idle_is_said():
  describe = make_run_mesh(3, 128).describe
  assert describe(3) == ', 3 at once on 2 of 8 devices each, 2 idle'
  assert describe(4) == ', 4 at once on 2 of 8 devices each'
  assert describe(5).endswith(
    ', 4 at once on 2 of 8 devices each, 6 idle in the last wave'
  )
  assert not describe(0)
  assert not make_run_mesh(3, 128, devices=jax.devices()[:1]).describe(3)


@pytest.mark.parametrize('runs_at_once', [1, 2, 4, 8])
def test_runs_at_once_overrides_the_choice(runs_at_once):
  run_mesh = make_run_mesh(3, 128, runs_at_once=runs_at_once)
  assert shape_of(run_mesh) == (runs_at_once, 8 // runs_at_once)


@pytest.mark.parametrize(
  'runs_at_once, batch_size', [(3, 128), (16, 128), (2, 6)]
)
def test_runs_at_once_that_does_not_fit_is_refused(runs_at_once, batch_size):
  with pytest.raises(ConfigError) as error:
    make_run_mesh(4, batch_size, runs_at_once=runs_at_once)
  message = str(error.value)
  assert message.startswith(f'config.train.runs_at_once: {runs_at_once} ')
  assert '8 devices' in message and str(batch_size) in message
  assert '\n' not in message


def test_a_batch_that_fits_no_arrangement_is_refused():
  with pytest.raises(ConfigError) as error:
    make_run_mesh(1, 100)
  message = str(error.value)
  assert message.startswith('config.train.batch_size: 100 ')
  assert 'multiple of 8' in message


def test_a_slot_stays_on_one_host_where_numbers_go_to_and_fro(monkeypatch):
  """On two-dimensional slices of TPUs a host has numbers of several rows."""
  monkeypatch.setattr(mesh_lib, 'Mesh', lambda grid, *unused: grid)
  devices = [
    types.SimpleNamespace(id=number, process_index=number // 2 % 2)
    for number in range(8)
  ]
  run_mesh = make_run_mesh(2, 8, devices=devices)
  hosts = [[d.process_index for d in slot] for slot in run_mesh.mesh]
  assert hosts == [[0] * 4, [1] * 4]


def test_flat_mesh_holds_all_devices_in_one_slot():
  assert shape_of(mesh_lib.flat_mesh()) == (1, 8)


@pytest.mark.parametrize('shape', SHAPES)
def test_per_run_gives_each_slot_its_own_and_all_the_shared(shape):
  run_mesh = mesh_of(*shape)
  slots = run_mesh.num_slots

  def weighted(own, batch, shared):
    total = jax.lax.psum(batch.sum(), mesh_lib.DATA_AXIS)
    return {
      'sum': own['scale'] * total + shared,
      'batch': 2 * jax.lax.all_gather(batch, mesh_lib.DATA_AXIS, tiled=True),
    }

  scale = np.arange(1.0, slots + 1, dtype=np.float32)
  batch = np.arange(slots * 16, dtype=np.float32).reshape(slots, 16)
  result = run_mesh.per_run(weighted, shared=(2,), split={1: 1})(
    run_mesh.put({'scale': scale}, run_mesh.by_run),
    run_mesh.put(batch, run_mesh.batch_sharding(1)),
    run_mesh.put(np.float32(0.5), run_mesh.replicated),
  )
  np.testing.assert_array_equal(result['sum'], scale * batch.sum(1) + 0.5)
  np.testing.assert_array_equal(result['batch'], 2 * batch)
  # What has a slot stays on the slot's devices.
  for shard in result['sum'].addressable_shards:
    row = shard.index[0].start or 0
    assert shard.device in run_mesh.mesh.devices[row]


@pytest.mark.parametrize('shape', [(1, 8), (2, 4), (4, 2)])
def test_a_slot_splits_its_batch_over_its_devices(shape):
  run_mesh = mesh_of(*shape)
  slots, per_slot = shape

  def layer(kernel, images):
    assert images.shape == (48 // per_slot, 7)
    return jax.lax.pmean((images @ kernel).mean(0), run_mesh.data_axis)

  compiled = (
    run_mesh.per_run(layer, split={1: 1})
    .lower(
      run_mesh.put(np.ones((slots, 7, 5), np.float32), run_mesh.by_run),
      run_mesh.put(
        np.ones((slots, 48, 7), np.float32), run_mesh.batch_sharding(1)
      ),
    )
    .compile()
    .as_text()
  )
  # Each device multiplies its share of the 48 rows, and means are over all.
  products = re.findall(r'= f32\[([\d,]+)\]\S* (?:dot|fusion)\(', compiled)
  assert f'{48 // per_slot},5' in products
  assert '48,5' not in products
  groups = re.findall(r'all-reduce.*?replica_groups=(\S+)', compiled)
  assert groups, compiled


def test_donated_memory_is_given_up():
  run_mesh = mesh_of(2, 1)
  value = run_mesh.put(np.ones((2, 64), np.float32), run_mesh.by_run)
  run_mesh.per_run(lambda value: value + 1, donate=(0,))(value)
  assert value.is_deleted()


def test_slots_come_back_to_the_host_one_by_one():
  run_mesh = mesh_of(4, 2)
  tree = {
    'a': np.arange(12, dtype=np.int32).reshape(4, 3),
    'b': np.arange(4, dtype=np.float32),
  }
  placed = run_mesh.put(tree, run_mesh.by_run)
  assert mesh_lib.own_slots(placed) == [0, 1, 2, 3]
  for slot in range(4):
    found = mesh_lib.slot_to_host(placed, slot)
    np.testing.assert_array_equal(found['a'], tree['a'][slot])
    assert found['b'].shape == () and found['b'] == slot
  # A slot held whole on every device has copies, all the same slot.
  wide = mesh_of(1, 8)
  placed = wide.put(np.arange(6).reshape(1, 6), wide.by_run)
  np.testing.assert_array_equal(mesh_lib.slot_to_host(placed, 0), np.arange(6))


def test_the_host_copy_outlives_donated_memory():
  run_mesh = mesh_of(2, 1)
  step = run_mesh.per_run(lambda value: value + 1, donate=(0,))
  value = run_mesh.put(np.zeros((2, 64), np.float32), run_mesh.by_run)
  copy = mesh_lib.slot_to_host(value, 1)
  for _ in range(3):
    value = step(value)
  jax.block_until_ready(value)
  assert np.all(copy == 0.0) and copy.flags.owndata


def test_a_slot_that_is_not_there_is_an_error():
  run_mesh = mesh_of(2, 1)
  placed = run_mesh.put(np.zeros((2, 3)), run_mesh.by_run)
  with pytest.raises(ValueError, match='slot 2'):
    mesh_lib.slot_to_host(placed, 2)


@pytest.mark.parametrize('num, multiple, padded', [(5, 4, 8), (8, 4, 8)])
def test_padding_is_minus_one_and_masked(num, multiple, padded):
  example_index, mask = mesh_lib.pad_to_multiple(np.arange(num), multiple)
  assert example_index.dtype == np.int32 and mask.dtype == bool
  assert list(example_index) == list(range(num)) + [-1] * (padded - num)
  assert list(mask) == [True] * num + [False] * (padded - num)


def test_run_once_changes_how_long_compiling_takes_and_nothing_else():
  run_mesh = mesh_of(2, 2)
  key = np.arange(4, dtype=np.uint32).reshape(2, 2)

  def draw(key):
    return jax.random.normal(jax.random.wrap_key_data(jnp.asarray(key)), (5,))

  fast, full = (
    run_mesh.per_run(draw, run_once=once)(run_mesh.put(key, run_mesh.by_run))
    for once in (True, False)
  )
  np.testing.assert_array_equal(fast, full)
