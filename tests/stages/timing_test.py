"""Tests of the time that stages take."""

import time
import types

import jax
import pytest

from datadiet.errors import Preempted
from datadiet.stages import timing
from datadiet.workdir import artifacts
from datadiet.workdir.artifacts import Workdir


@pytest.fixture
def context(tmp_path):
  return types.SimpleNamespace(workdir=Workdir.at(tmp_path))


def _wait_for_seconds(context, stage, seconds):
  start = time.monotonic()
  while timing.read_timing(context).get(stage, {}).get('seconds', 0) < seconds:
    assert time.monotonic() - start < 60
    time.sleep(0.02)


def test_times_are_added_up_and_say_of_how_many_devices(context):
  for _ in range(2):
    with timing.timed(context, 'score'):
      pass
  entry = artifacts.read_json(context.workdir.timing)['score']
  device = jax.devices()[0]
  assert entry['devices'] == f'{jax.device_count()} × {device.device_kind}'
  expected = entry['seconds'] * jax.device_count()
  assert entry['device_seconds'] == pytest.approx(expected)


def test_a_killed_stage_has_its_time_so_far(context, monkeypatch):
  monkeypatch.setattr(timing, 'INTERVAL', 0.05)
  with timing.timed(context, 'train'):
    timing.add_subset_time(context, 'half', 2.0)
    # What is read here is all that there were if the process died now.
    _wait_for_seconds(context, 'train', 0.3)
    inside = timing.read_timing(context)
  after = timing.read_timing(context)
  assert inside['train']['seconds'] <= after['train']['seconds'] < 60
  assert after['select']['subsets'] == {'half': 2.0}


def test_a_stopped_stage_has_all_its_time(context):
  with pytest.raises(Preempted), timing.timed(context, 'train'):
    time.sleep(0.1)
    raise Preempted('stopped')
  assert timing.read_timing(context)['train']['seconds'] >= 0.1


def test_nothing_is_written_after_an_error(context):
  with pytest.raises(ValueError), timing.timed(context, 'train'):
    raise ValueError
  assert not context.workdir.timing.exists()


def test_a_full_disk_is_told_of_and_does_not_hide_the_end(
  context, monkeypatch, caplog
):
  monkeypatch.setattr(timing, 'INTERVAL', 0.02)
  write_json, failures = artifacts.write_json, []

  def fail_twice(path, content):
    if len(failures) < 2:
      failures.append(path)
      raise OSError('no space left')
    write_json(path, content)

  monkeypatch.setattr(artifacts, 'write_json', fail_twice)
  with timing.timed(context, 'train'):
    _wait_for_seconds(context, 'train', 0.1)
  assert len(failures) == 2 and 'no space left' in caplog.text
