"""Tests checkpoints on local object stores."""

import numpy as np
import pytest
from etils import epath

from datadiet.errors import DataDietError
from datadiet.workdir import checkpoints, storage
from tests.workdir import checkpoints_test as local


def names_below(folder):
  return sorted(storage.files_below(checkpoints.folder_of(folder)))


def test_checkpoints_are_pruned_and_restored(store):
  folder = epath.Path(store.root) / 'pruned'
  local.save(folder, [0, 5, 10, 15], keep_steps=[0])
  assert names_below(folder) == [
    '0/manifest.json',
    '0/variables.safetensors',
    '10/manifest.json',
    '10/rest.safetensors',
    '10/variables.safetensors',
    '15/manifest.json',
    '15/rest.safetensors',
    '15/variables.safetensors',
  ]
  assert checkpoints.full_steps(folder) == [10, 15]
  assert checkpoints.variable_steps(folder) == [0, 10, 15]
  for step in (10, 15):
    state = checkpoints.restore_state(folder, step, local.template())
    local.assert_same(state, local.make_state(step))
  kernel = checkpoints.load_variables(folder, 0)['params']['Dense_0']['kernel']
  expected = local.make_state(0).params['Dense_0']['kernel']
  np.testing.assert_array_equal(kernel, expected)
  with pytest.raises(DataDietError, match='of step 5; it has 0, 10, 15'):
    checkpoints.load_variables(folder, 5)


@pytest.mark.parametrize('cut_at', ['variables', 'rest', 'manifest'])
def test_a_save_that_is_cut_off_is_no_full_state(gateway, waits, cut_at):
  folder = epath.Path(gateway.store.root) / f'cut_{len(cut_at)}'
  local.save(folder, [5])

  def refuse(method, path, number):
    del number
    writes = method in ('PUT', 'POST') and 'delete' not in path
    return 403 * (writes and cut_at in path)

  gateway.fail(refuse)
  with pytest.raises(DataDietError, match='could not be written to .*cut_'):
    local.save(folder, [10])
  gateway.fail(lambda method, path, number: 0)
  assert checkpoints.full_steps(folder) == [5]
  state = checkpoints.restore_state(folder, 5, local.template())
  local.assert_same(state, local.make_state(5))
  # The next attempt writes over what there is.
  local.save(folder, [10])
  assert checkpoints.full_steps(folder) == [5, 10]
  checkpoints.verify(folder, 10)


@pytest.mark.parametrize(
  'change', [lambda content: content[:-2000], lambda content: b'']
)
def test_a_damaged_object_is_noticed_and_put_aside(store, change):
  folder = epath.Path(store.root) / 'damaged'
  local.save(folder, [5, 10])
  path = checkpoints.folder_of(folder) / '10' / 'rest.safetensors'
  storage.write_bytes(path, change(storage.read_bytes(path))[:6000])
  with pytest.raises(checkpoints.DamagedCheckpoint):
    checkpoints.verify(folder, 10)
  checkpoints.set_aside(folder, 10)
  assert checkpoints.full_steps(folder) == [5]
  assert '10.damaged/rest.safetensors' in names_below(folder)
  folder.rmtree()


def test_a_store_that_fails_damages_nothing(gateway, waits):
  folder = epath.Path(gateway.store.root) / 'whole'
  local.save(folder, [5])
  gateway.fail(
    lambda method, path, number: 503 if 'rest.safetensors' in path else 0
  )
  with pytest.raises(Exception) as caught:
    checkpoints.verify(folder, 5)
  assert not isinstance(caught.value, checkpoints.DamagedCheckpoint)
  assert storage.as_store_error(caught.value).is_transient
