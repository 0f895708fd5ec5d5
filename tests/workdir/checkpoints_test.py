"""Tests of checkpoints: exact, pruned, and safe against damage."""

import errno
import logging
import os
import shutil
import threading
from pathlib import Path

import flax.struct
import jax
import numpy as np
import pytest

from datadiet.errors import DataDietError
from datadiet.workdir import arrays, atomic, checkpoints
from tests import running


@flax.struct.dataclass
class State:
  """What checkpoints need to know of a train state."""

  step: np.ndarray
  params: dict
  batch_stats: dict
  opt_state: tuple
  windows: object = None


def make_state(step, size=50, batch_stats=True):
  generator = np.random.default_rng(step)
  kernel = generator.normal(size=(size, 3)).astype(np.float32)
  return State(
    step=np.int32(step),
    params={'Dense_0': {'kernel': kernel}},
    batch_stats={'mean': np.float32([step])} if batch_stats else {},
    opt_state=(
      (),
      {'trace': generator.normal(size=size).astype(np.float32)},
      np.int8([-1, step % 100]),
    ),
  )


def save(folder, steps, keep_steps=(), **options):
  writer = checkpoints.CheckpointWriter(folder, keep_steps)
  for step in steps:
    writer.save(step, make_state(step, **options))
  writer.close()


def template(**options):
  return jax.tree.map(
    lambda leaf: jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype),
    make_state(0, **options),
  )


def assert_same(found, expected):
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected)):
    assert a.dtype == b.dtype
    np.testing.assert_array_equal(a, b)


def file_of(run_folder, step, name):
  """Of a checkpoint's three."""
  return Path(checkpoints.folder_of(run_folder)) / str(step) / name


def flip_bytes(path):
  content = bytearray(path.read_bytes())
  for position in range(len(content) // 3, len(content) // 3 + 8):
    content[position] ^= 0xFF
  path.write_bytes(content)


def truncate(path):
  path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize('batch_stats', [True, False])
def test_a_state_comes_back_bit_by_bit(tmp_path, batch_stats):
  save(tmp_path, [7], batch_stats=batch_stats)
  found = checkpoints.restore_state(
    tmp_path, 7, template(batch_stats=batch_stats)
  )
  assert_same(found, make_state(7, batch_stats=batch_stats))


def test_two_full_states_and_the_networks_to_be_scored_remain(tmp_path):
  save(tmp_path, [0, 2, 4, 6, 8], keep_steps=[0, 4, 8])
  assert checkpoints.full_steps(tmp_path) == [6, 8]
  assert checkpoints.variable_steps(tmp_path) == [0, 4, 6, 8]
  folder = checkpoints.folder_of(tmp_path)
  assert sorted(path.name for path in folder.iterdir()) == ['0', '4', '6', '8']
  for step in (0, 4):
    assert sorted(path.name for path in (folder / str(step)).iterdir()) == [
      'manifest.json',
      'variables.safetensors',
    ]
    found = checkpoints.load_variables(tmp_path, step)
    assert_same(found['params'], make_state(step).params)
    assert_same(found['batch_stats'], make_state(step).batch_stats)


def test_networks_without_batch_norm_have_empty_batch_stats(tmp_path):
  save(tmp_path, [3], batch_stats=False)
  assert checkpoints.load_variables(tmp_path, 3)['batch_stats'] == {}


def test_exactly_the_step_asked_for_or_an_error(tmp_path):
  save(tmp_path, [0, 5], keep_steps=[0])
  zero = checkpoints.load_variables(tmp_path, 0)['params']['Dense_0']['kernel']
  later = checkpoints.load_variables(tmp_path, 5)['params']['Dense_0']['kernel']
  assert np.all(zero != later)
  for missing in (1, 4, 6, 50):
    for restore in (
      lambda step: checkpoints.load_variables(tmp_path, step),
      lambda step: checkpoints.restore_state(tmp_path, step, template()),
    ):
      with pytest.raises(DataDietError) as error:
        restore(missing)
      assert f'no checkpoint of step {missing}; it has 0, 5' in str(error.value)


def test_a_network_alone_is_no_state_to_go_on_from(tmp_path):
  save(tmp_path, [0, 5, 6], keep_steps=[0])
  with pytest.raises(DataDietError, match='no checkpoint of step 0'):
    checkpoints.restore_state(tmp_path, 0, template())


def test_a_folder_without_checkpoints_has_none(tmp_path):
  assert checkpoints.full_steps(tmp_path / 'nowhere') == []
  with pytest.raises(DataDietError, match='it has none'):
    checkpoints.load_variables(tmp_path, 0)


def test_a_save_holds_nobody_up(tmp_path, monkeypatch):
  pack, may_go_on = arrays.pack, threading.Event()

  def late(flat):
    assert may_go_on.wait(30)
    return pack(flat)

  monkeypatch.setattr(arrays, 'pack', late)
  writer = checkpoints.CheckpointWriter(tmp_path, ())
  writer.save(1, make_state(1))
  assert checkpoints.full_steps(tmp_path) == []
  may_go_on.set()
  writer.close()
  assert checkpoints.full_steps(tmp_path) == [1]


def test_half_written_checkpoints_do_not_count(tmp_path):
  """As of a kill, or of a copy from a bucket that is under way."""
  save(tmp_path, [1])
  folder = checkpoints.folder_of(tmp_path)
  shutil.copytree(folder / '1', folder / '.2.0a1b2c3d.tmp')
  shutil.copytree(folder / '1', folder / '3')
  (folder / '3' / 'manifest.json').unlink()
  assert checkpoints.full_steps(tmp_path) == [1]
  assert checkpoints.variable_steps(tmp_path) == [1]
  with pytest.raises(checkpoints.DamagedCheckpoint, match='json is missing'):
    checkpoints.load_variables(tmp_path, 3)


def test_what_a_killed_process_left_is_cleared_away(tmp_path, caplog):
  save(tmp_path, [1, 2, 3, 4], keep_steps=[1])
  folder = checkpoints.folder_of(tmp_path)
  shutil.copytree(folder / '3', folder / '.7.0a1b2c3d.tmp')
  shutil.copytree(folder / '3', folder / '8')
  (folder / '8' / 'manifest.json').unlink()
  # Of a network that is only kept to be scored.
  (folder / '1' / 'rest.safetensors').write_bytes(b'half')
  with caplog.at_level(logging.WARNING, logger='absl'):
    save(tmp_path, [5], keep_steps=[1])
  assert 'checkpoints/8 has no manifest.json: it was cut off' in caplog.text
  assert sorted(path.name for path in folder.iterdir()) == ['1', '4', '5']
  assert not (folder / '1' / 'rest.safetensors').exists()
  checkpoints.load_variables(tmp_path, 1)


@pytest.mark.parametrize('cut_at', [0, 1, 2, 3])
def test_a_save_cut_off_anywhere_is_none(tmp_path, monkeypatch, cut_at):
  save(tmp_path, [4], size=20)
  before = running.all_bytes(tmp_path)
  write_file, num_written = atomic.write_file, []

  def cut_off(path, content):
    if len(num_written) == cut_at:
      raise KeyboardInterrupt
    num_written.append(path)
    write_file(path, content)

  monkeypatch.setattr(atomic, 'write_file', cut_off)
  writer = checkpoints.CheckpointWriter(tmp_path, ())
  # The same step again replaces what is there once it is whole, not before.
  writer.save(4, make_state(5))
  if cut_at < 3:
    with pytest.raises(KeyboardInterrupt):
      writer.close()
    assert running.all_bytes(tmp_path) == before
  else:
    writer.close()
    state = checkpoints.restore_state(tmp_path, 4, template())
    assert_same(state, make_state(5))


def test_a_step_saved_again_replaces_what_was_there(tmp_path):
  save(tmp_path, [4])
  writer = checkpoints.CheckpointWriter(tmp_path, ())
  again = make_state(4).replace(step=np.int32(99))
  writer.save(4, again)
  writer.close()
  assert_same(checkpoints.restore_state(tmp_path, 4, template()), again)


@pytest.mark.parametrize('damage', [flip_bytes, truncate, Path.unlink])
@pytest.mark.parametrize(
  'name', ['variables.safetensors', 'rest.safetensors', 'manifest.json']
)
def test_damage_is_noticed_and_the_file_named(tmp_path, damage, name):
  save(tmp_path, [4], size=5000)
  path = file_of(tmp_path, 4, name)
  damage(path)
  for read in (
    lambda: checkpoints.verify(tmp_path, 4),
    lambda: checkpoints.restore_state(tmp_path, 4, template(size=5000)),
  ):
    with pytest.raises(checkpoints.DamagedCheckpoint) as error:
      read()
    how = 'missing' if damage is Path.unlink else 'damaged'
    assert str(error.value).startswith(f'{path} is {how}')
    assert f'delete the folder of that run, {tmp_path}, to' in str(error.value)
  # Of a step without a manifest nobody knows whether it ever was one.
  is_none = damage is Path.unlink and name == 'manifest.json'
  assert checkpoints.full_steps(tmp_path) == [] if is_none else [4]


def test_damage_of_the_rest_does_not_spoil_the_network(tmp_path):
  save(tmp_path, [4], size=5000)
  flip_bytes(file_of(tmp_path, 4, checkpoints.REST))
  with pytest.raises(checkpoints.DamagedCheckpoint):
    checkpoints.verify(tmp_path, 4)
  found = checkpoints.load_variables(tmp_path, 4)
  assert_same(found['params'], make_state(4, size=5000).params)


def test_checkpoints_by_orbax_are_refused(tmp_path):
  manifest = checkpoints.folder_of(tmp_path) / '4' / 'manifest' / 'metadata'
  manifest.parent.mkdir(parents=True)
  manifest.write_text('{}')
  with pytest.raises(DataDietError, match='4 was written by Orbax, with an ea'):
    checkpoints.full_steps(tmp_path)


def test_folders_may_have_any_name(tmp_path):
  run_folder = tmp_path / 'a[1] b*' / '%20?' / 'run_00'
  save(run_folder, [0, 1, 2, 3], keep_steps=[0])
  assert checkpoints.variable_steps(run_folder) == [0, 2, 3]
  state = checkpoints.restore_state(run_folder, 3, template())
  assert_same(state, make_state(3))


def test_a_damaged_checkpoint_is_put_aside_with_a_warning(tmp_path, caplog):
  save(tmp_path, [4, 5])
  folder = checkpoints.folder_of(tmp_path)
  for _ in range(2):  # A name that is taken is used again.
    with caplog.at_level(logging.WARNING, logger='absl'):
      checkpoints.set_aside(tmp_path, 5)
    assert 'put aside as 5.damaged' in caplog.text
    assert checkpoints.full_steps(tmp_path) == [4]
    assert (folder / '5.damaged').exists()
    save(tmp_path, [5])


def test_the_checkpoint_of_another_model_is_refused(tmp_path):
  save(tmp_path, [4])
  with pytest.raises(DataDietError, match=r'shape \(50, 3\), .* \(60, 3\)'):
    checkpoints.restore_state(tmp_path, 4, template(size=60))
  wider = template().replace(params={'Conv_0': np.zeros(1)})
  with pytest.raises(DataDietError, match='has no params/Conv_0'):
    checkpoints.restore_state(tmp_path, 4, wider)


def assert_one_sentence(message, folder):
  assert f'a checkpoint could not be written to {folder}' in message
  assert 'earlier checkpoints are untouched' in message
  assert '\n' not in message and len(message) < 600


def test_a_full_disk_is_one_sentence_and_earlier_states_stay(
  tmp_path, monkeypatch
):
  save(tmp_path, [1])
  writer = checkpoints.CheckpointWriter(tmp_path, ())

  def full(descriptor):
    raise OSError(errno.ENOSPC, 'Auf dem Gerät ist kein Platz mehr')

  monkeypatch.setattr(os, 'fsync', full)
  writer.save(2, make_state(2))
  with pytest.raises(DataDietError) as error:
    writer.close()
  assert_one_sentence(str(error.value), checkpoints.folder_of(tmp_path))
  assert 'checkpoints/2: no space left on device;' in str(error.value)
  assert checkpoints.full_steps(tmp_path) == [1]
  folder = checkpoints.folder_of(tmp_path)
  assert [path.name for path in folder.iterdir()] == ['1']
  assert_same(checkpoints.restore_state(tmp_path, 1, template()), make_state(1))


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
  # A file where the folder should be: the tests may run as root, whom
  # permissions do not stop.
  (tmp_path / 'checkpoints').write_text('')
  writer = checkpoints.CheckpointWriter(tmp_path, ())
  with pytest.raises(DataDietError) as error:
    writer.save(2, make_state(2))
    writer.wait()
  assert_one_sentence(str(error.value), tmp_path / 'checkpoints')
