"""Tests of profiles of chosen steps."""

import gzip
import json

import jax
import jax.numpy as jnp
import pytest
from etils import epath

from datadiet.training import profiling
from datadiet.training.profiling import StepProfile
from tests.training.small_runs import outcome, train


@pytest.fixture
def calls(monkeypatch):
  """What is asked of JAX's profiler."""
  calls = []
  monkeypatch.setattr(
    jax.profiler, 'start_trace', lambda folder: calls.append(folder)
  )
  monkeypatch.setattr(jax.profiler, 'stop_trace', lambda: calls.append('stop'))
  return calls


def trained(profile, calls, steps):
  """After which steps the profiler was asked for something."""
  asked = {}
  with profile:
    for step in steps:
      before = len(calls)
      profile.before(step)
      if len(calls) > before:
        asked['start'] = step
        before = len(calls)
      profile.after(step + 1, jnp.zeros(()))
      if len(calls) > before:
        asked['stop'] = step + 1
  return asked


@pytest.mark.parametrize(
  'steps, trained_steps, expected',
  [
    ((), range(10), {}),
    ((3, 5), range(10), {'start': 3, 'stop': 5}),
    ((0, 1), range(10), {'start': 0, 'stop': 1}),
    # A run that is resumed between them, or after.
    ((3, 5), range(4, 10), {'start': 4, 'stop': 5}),
    ((3, 5), range(5, 10), {}),
    ((30, 50), range(10), {}),
  ],
)
def test_the_steps_asked_for_are_recorded(
  tmp_path, calls, steps, trained_steps, expected
):
  profile = StepProfile(epath.Path(tmp_path), steps)
  assert trained(profile, calls, trained_steps) == expected
  assert len(calls) == len(expected)


def test_a_profile_ends_with_the_training(tmp_path, calls):
  profile = StepProfile(epath.Path(tmp_path), (3, 50))
  with pytest.raises(KeyError), profile:
    profile.before(3)
    raise KeyError
  assert calls == [str(tmp_path / 'profile'), 'stop']


def test_a_training_leaves_a_trace_of_its_first_wave_alone(
  tmp_path, uninterrupted
):
  train(tmp_path, (0, 1), profile_steps=(3, 7))
  folder = tmp_path / 'run_00' / profiling.FOLDER
  (trace,) = folder.rglob('*.trace.json.gz')
  assert trace.parent.parent == folder / 'plugins' / 'profile'
  assert list(trace.parent.glob('*.xplane.pb'))
  events = json.loads(gzip.decompress(trace.read_bytes()))['traceEvents']
  assert len(events) > 10
  assert not (tmp_path / 'run_01' / profiling.FOLDER).exists()
  # What is trained is the same; the manifest has the setting.
  found = outcome(tmp_path / 'run_00', profile_steps=(3, 7))
  assert found.keys() == uninterrupted.keys()
  changed = {n for n in found if found[n] != uninterrupted[n]}
  assert changed == {'manifest'}
