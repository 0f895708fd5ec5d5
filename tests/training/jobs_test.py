"""Tests datadiet.training.jobs: which jobs train together, and from where."""

import numpy as np
import pytest
from etils import epath

from datadiet.feeding.epochs import AllExamples
from datadiet.training.jobs import Job, next_wave
from datadiet.workdir import checkpoints


@pytest.fixture
def make_jobs(monkeypatch):
  """Jobs with the given full states on disk, one list of steps a job."""

  def make(*steps):
    saved = {epath.Path(f'/run_{i}'): list(s) for i, s in enumerate(steps)}
    monkeypatch.setattr(checkpoints, 'full_steps', saved.__getitem__)
    return [
      Job(f'run_{i}', folder, i, AllExamples(np.arange(8), seed=0, run=i))
      for i, folder in enumerate(saved)
    ]

  return make


@pytest.mark.parametrize(
  'steps, num_slots, runs, first_step',
  [
    # Nothing done yet: the first that fit.
    ([[], [], []], 2, [0, 1], 0),
    ([[], [], []], 4, [0, 1, 2], 0),
    # All equally far.
    ([[4, 8], [4, 8]], 2, [0, 1], 8),
    # One is a checkpoint ahead: the newest step that all have.
    ([[4, 8], [8, 12]], 2, [0, 1], 8),
    ([[4, 8], [4]], 2, [0, 1], 4),
    # One has nothing: the other must not lose what it has done.
    ([[4, 8], []], 2, [0], 8),
    ([[], [4, 8]], 2, [0], 0),
    ([[4, 8], [], [4, 8]], 2, [0, 2], 8),
    # Nothing in common, though both have something.
    ([[4], [8]], 2, [0], 4),
  ],
)
def test_the_next_wave(make_jobs, steps, num_slots, runs, first_step):
  wave = next_wave(make_jobs(*steps), num_slots)
  assert [job.run for job in wave.jobs] == runs
  assert wave.first_step == first_step
