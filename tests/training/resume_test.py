"""Tests datadiet.training.loop: stopped, damaged, and going on bitwise."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from datadiet.errors import Preempted
from datadiet.runtime import stopping
from datadiet.training.history import read_history
from datadiet.training.in_flight import InFlight
from datadiet.workdir import artifacts, checkpoints
from tests.training.small_runs import (
  assert_same_outcome,
  outcome,
  train,
  train_until,
)


@pytest.fixture(params=[-1.0, float('inf')], ids=['slow', 'fast'])
def in_flight(request, monkeypatch):
  """Steps that are waited for, or only those before."""
  monkeypatch.setattr('datadiet.training.in_flight._NUM_TIMED', 2)
  monkeypatch.setattr(
    'datadiet.training.in_flight._SLOW_SECONDS', request.param
  )


# Before, at and after log points, evaluations, checkpoints and the end.
@pytest.mark.parametrize('step', [1, 3, 4, 5, 7, 9, 10])
def test_a_stopped_run_goes_on_as_if_nothing_had_happened(
  tmp_path, step, uninterrupted, in_flight
):
  train_until(tmp_path, step)
  run = tmp_path / 'run_00'
  assert checkpoints.full_steps(run)[-1] == step
  assert artifacts.read_manifest(run) is None
  train(tmp_path)
  assert_same_outcome(run, uninterrupted)


# At step 5 nothing is saved but for the stop; step 10 is the last.
@pytest.mark.parametrize('step', [5, 10])
def test_a_run_stopped_in_evaluation_evaluates_again(
  tmp_path, step, uninterrupted, in_flight, monkeypatch
):
  add = InFlight.add

  def asked_in_evaluation(self, output):
    if output.dtype == np.float32:  # The sum of losses, not the step.
      num_batches.append(1)
      patch.setattr(stopping, '_requested', len(num_batches) == wanted)
    return add(self, output)

  # The second batch of the first or the second evaluation, of three batches.
  num_batches, wanted = [], 2 if step == 5 else 5
  with monkeypatch.context() as patch:
    patch.setattr(InFlight, 'add', asked_in_evaluation)
    with pytest.raises(Preempted):
      train(tmp_path)
  assert len(num_batches) == wanted
  run = tmp_path / 'run_00'
  assert checkpoints.full_steps(run)[-1] == step
  assert int(read_history(run)[-1]['step']) < step
  train(tmp_path)
  assert_same_outcome(run, uninterrupted)


def test_a_run_may_be_stopped_over_and_over(tmp_path, uninterrupted):
  for _ in range(4):  # Two steps more each time.
    train_until(tmp_path, 2)
  assert checkpoints.full_steps(tmp_path / 'run_00')[-1] == 8
  train(tmp_path)
  assert_same_outcome(tmp_path / 'run_00', uninterrupted)


def test_a_wave_is_stopped_and_goes_on_on_another_mesh(tmp_path):
  """Each run on one device again, but alone instead of beside the other."""
  train_until(tmp_path / 'a', 7, runs=(0, 1), slots=2, devices=2)
  train(tmp_path / 'a', (0, 1), slots=1, devices=1)
  train(tmp_path / 'b', (0, 1), slots=2, devices=2)
  for run in ('run_00', 'run_01'):
    assert_same_outcome(tmp_path / 'a' / run, outcome(tmp_path / 'b' / run))


def test_a_run_ahead_of_its_wave_is_set_back(tmp_path):
  """As after a sudden end between the two saves of a checkpoint."""
  train_until(tmp_path / 'a', 8, runs=(0, 1), slots=2, devices=2)
  shutil.rmtree(checkpoints.folder_of(tmp_path / 'a' / 'run_01') / '8')
  assert checkpoints.full_steps(tmp_path / 'a' / 'run_01') == [4]
  train(tmp_path / 'a', (0, 1), slots=2, devices=2)
  train(tmp_path / 'b', (0, 1), slots=2, devices=2)
  for run in ('run_00', 'run_01'):
    assert_same_outcome(tmp_path / 'a' / run, outcome(tmp_path / 'b' / run))


def test_a_run_set_back_may_be_ended_again(tmp_path):
  """Both times between the two saves of a checkpoint, the second earlier."""
  folders = [tmp_path / 'a' / f'run_0{run}' for run in (0, 1)]
  train_until(tmp_path / 'a', 8, runs=(0, 1), slots=2, devices=2)
  shutil.rmtree(checkpoints.folder_of(folders[1]) / '8')
  # Two steps more than those of which both have a checkpoint.
  train_until(tmp_path / 'a', 2, runs=(0, 1), slots=2, devices=2)
  assert checkpoints.full_steps(folders[0]) == [4, 6]
  shutil.rmtree(checkpoints.folder_of(folders[1]) / '6')
  train(tmp_path / 'a', (0, 1), slots=2, devices=2)
  train(tmp_path / 'b', (0, 1), slots=2, devices=2)
  for folder in folders:
    assert_same_outcome(folder, outcome(tmp_path / 'b' / folder.name))


def damage(step_folder, how):
  files = [path for path in Path(step_folder).rglob('*') if path.is_file()]
  largest = max(files, key=lambda path: path.stat().st_size)
  content = bytearray(largest.read_bytes())
  if how == 'flipped':
    third = len(content) // 3
    content[third : third + 64] = bytes(
      byte ^ 0xFF for byte in content[third : third + 64]
    )
  else:
    del content[len(content) // 2 :]
  largest.write_bytes(content)


@pytest.mark.parametrize('how', ['flipped', 'truncated'])
def test_a_damaged_checkpoint_is_put_aside_and_the_older_one_used(
  tmp_path, caplog, uninterrupted, how
):
  train_until(tmp_path, 7)
  run = tmp_path / 'run_00'
  assert checkpoints.full_steps(run) == [4, 7]
  damage(checkpoints.folder_of(run) / '7', how)
  with caplog.at_level(logging.INFO, logger='absl'):
    train(tmp_path)
  warnings = [
    record.getMessage()
    for record in caplog.records
    if record.levelno == logging.WARNING
  ]
  assert len(warnings) == 1 and '7.damaged' in warnings[0]
  assert 'Resuming from step 4' in caplog.text
  assert (checkpoints.folder_of(run) / '7.damaged').exists()
  assert_same_outcome(run, uninterrupted)


def test_without_any_good_checkpoint_a_run_starts_again(
  tmp_path, uninterrupted
):
  train_until(tmp_path, 7)
  run = tmp_path / 'run_00'
  for step in (4, 7):
    damage(checkpoints.folder_of(run) / str(step), 'flipped')
  train(tmp_path)
  assert_same_outcome(run, uninterrupted)


def test_a_damaged_checkpoint_sets_back_its_own_wave_only_as_far_as_needed(
  tmp_path,
):
  train_until(tmp_path / 'a', 7, runs=(0, 1), slots=2, devices=2)
  damage(checkpoints.folder_of(tmp_path / 'a' / 'run_01') / '7', 'flipped')
  train(tmp_path / 'a', (0, 1), slots=2, devices=2)
  folder = checkpoints.folder_of(tmp_path / 'a' / 'run_00')
  assert not (folder / '7.damaged').exists()
  train(tmp_path / 'b', (0, 1), slots=2, devices=2)
  for run in ('run_00', 'run_01'):
    assert_same_outcome(tmp_path / 'a' / run, outcome(tmp_path / 'b' / run))
