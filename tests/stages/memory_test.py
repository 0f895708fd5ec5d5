"""Tests of what a whole run holds on the devices."""

import jax
import numpy as np
import pytest

from datadiet import main
from datadiet.scoring.engine import ScoringEngine
from datadiet.training.trainer import Trainer
from tests import running

# Digits: pixels of the splits, and images of each.
PIXELS = 8 * 8
SPLITS = {'train': 1437, 'test': 360}


@pytest.mark.slow
def test_a_whole_run_holds_one_copy_of_its_pixels(tmp_path, monkeypatch):
  """While it trains, evaluates, scores by both passes and retrains."""
  others = jax.live_arrays()  # Of other tests; held, so that none is replaced.
  seen = []

  def copies(num_examples):
    """Of a split's pixels on the device that has most."""
    # Not by their shards: to look at one makes an array of it.
    found = [
      device
      for array in jax.live_arrays()
      if not any(array is other for other in others)
      if array.dtype == np.uint8
      and array.size >= num_examples * PIXELS
      and array.shape[0] == num_examples
      for device in array.sharding.device_set
    ]
    return max(map(found.count, found), default=0)

  def watch(kind, name):
    function = getattr(kind, name)

    def watched(self, *given, **named):
      result = function(self, *given, **named)
      counted = {split: copies(num) for split, num in SPLITS.items()}
      seen.append((f'{kind.__name__}.{name}', counted))
      return result

    monkeypatch.setattr(kind, name, watched)

  watch(Trainer, 'run_steps')
  watch(Trainer, 'test')
  watch(ScoringEngine, '_take')
  config = running.tiny_config(score__names=('el2n', 'grand'))
  stages = ['train', 'score', 'select', 'retrain']
  main.run(config, str(tmp_path / 'workdir'), stages)
  assert {name for name, _ in seen} == {
    'Trainer.run_steps',
    'Trainer.test',
    'ScoringEngine._take',
  }
  assert all(counted['train'] == 1 for _, counted in seen)
  assert all(counted['test'] <= 1 for _, counted in seen)
