"""Tests of the train stage's artifacts."""

import dataclasses
import importlib.util
import json
import re

import flax
import jax
import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet.errors import ConfigError
from datadiet.models import make_model
from datadiet.stages import train
from datadiet.training.history import read_history
from datadiet.workdir import artifacts, checkpoints
from tests import running


def _run(context, run=0):
  return context.workdir.run(train.GROUP, run)


def test_every_scored_step_has_a_network(finished):
  for run in finished.runs:
    steps = checkpoints.variable_steps(_run(finished, run))
    assert {0, 44} <= set(steps)


def test_a_trained_network_opens_as_the_docs_say(finished):
  text = (running.REPOSITORY / 'docs' / 'workdir.md').read_text()
  codes = re.findall(r'```python\n(.*?)```', text, re.S)
  where = 'workdirs/digits/train/run_00/checkpoints/440'
  folder = checkpoints.folder_of(_run(finished)) / '44'
  in_flax, in_torch = (code.replace(where, str(folder)) for code in codes)
  model = make_model('simple_cnn', num_classes=10, width=4)
  images = finished.dataset.train.images[:5].astype(np.float32)
  names = {'flax': flax, 'model': model, 'images': images}
  exec(in_flax, names)
  variables = checkpoints.load_variables(_run(finished), 44)
  expected = model.apply(variables, images, train=False)
  np.testing.assert_array_equal(names['logits'], expected)
  if importlib.util.find_spec('torch'):
    exec(in_torch, names)
    assert names['tensors'].keys() == names['flat'].keys()


def test_networks_of_different_steps_and_runs_differ(finished):
  def kernel(run, step):
    variables = checkpoints.load_variables(_run(finished, run), step)
    return jax.tree.leaves(variables['params'])[1]

  networks = [kernel(run, step) for run in (0, 1) for step in (0, 44)]
  for first in range(len(networks)):
    for second in range(first):
      assert not np.array_equal(networks[first], networks[second])


def test_dynamics_count_every_visit_once(finished):
  dynamics = artifacts.read_npz(_run(finished) / 'dynamics' / 'step_44.npz')
  # Two epochs of 22 batches of 64; the last incomplete batch is dropped.
  assert dynamics['visits'].shape == (1437,)
  assert dynamics['visits'].sum() == 44 * 64
  assert dynamics['visits'].max() == 2
  assert (dynamics['num_correct'] <= dynamics['visits']).all()


def test_history_has_a_row_a_log_step(finished):
  rows = read_history(_run(finished))
  assert [int(row['step']) for row in rows] == [11, 22, 33, 44]
  assert [bool(row['test_accuracy']) for row in rows] == [0, 1, 0, 1]
  assert float(rows[-1]['epoch']) == 2.0


def test_manifest_says_what_was_trained(finished):
  manifest = json.loads((_run(finished, 1) / 'manifest.json').read_text())
  assert manifest['run'] == 1
  assert manifest['num_examples'] == 1437
  assert manifest['num_steps'] == 44
  assert manifest['fingerprint'] == finished.dataset.fingerprint
  assert manifest['settings']['model']['name'] == 'simple_cnn'


def test_plan_counts_what_is_done(finished, own):
  assert train.plan(finished) == '2 runs of 44 steps (2 done)'
  (_run(own, 1) / 'manifest.json').unlink()
  assert train.plan(own) == (
    '2 runs of 44 steps (1 done), 1 at once on 4 of 8 devices each, 4 idle'
  )


def test_a_step_that_was_passed_cannot_be_scored_any_more(own):
  for run in own.runs:
    (_run(own, run) / 'manifest.json').unlink()
  config = config_lib.resolve(running.tiny_config(score__steps=(7, 44)))
  with pytest.raises(ConfigError, match='step 7 is not allowed: train/run_00'):
    train.run(dataclasses.replace(own, config=config))
