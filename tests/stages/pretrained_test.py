"""Tests starting from pretrained weights, through the stages."""

import dataclasses

import numpy as np
import pytest
import safetensors.numpy

from datadiet import config as config_lib
from datadiet import main
from datadiet.errors import ConfigError, DataDietError
from datadiet.stages.context import Context
from datadiet.stages.pretrained import open_weights
from datadiet.workdir import artifacts, checkpoints
from datadiet.workdir.artifacts import Workdir
from tests import running


@pytest.fixture
def weights(finished):
  """The network of a finished run."""
  folder = finished.workdir.run('train', 0) / 'checkpoints' / '44'
  return str(folder / 'variables.safetensors')


def context_of(finished, workdir, **changes) -> Context:
  config = config_lib.resolve(running.tiny_config(**changes))
  return Context(config, Workdir.at(workdir), finished.dataset)


def test_runs_start_from_the_weights_and_say_so(tmp_path, weights):
  config = running.tiny_config(
    model__weights=weights, train__num_steps=11, score__steps=(0,)
  )
  main.run(config, str(tmp_path / 'w'), ['train', 'score'])
  workdir = Workdir.at(tmp_path / 'w')
  given = safetensors.numpy.load_file(weights)
  for run in (0, 1):
    start = checkpoints.load_variables(workdir.run('train', run), 0)
    np.testing.assert_array_equal(
      start['params']['Conv_0']['kernel'], given['params/Conv_0/kernel']
    )
  stated = artifacts.read_json(workdir.config)['pretrained']
  assert len(stated['sha256']) == 64 and stated['new_head'] is False
  for folder in (workdir.run('train', 0), workdir.scores(0, 0)):
    manifest = artifacts.read_manifest(folder)
    assert manifest.get('settings', manifest)['pretrained'] == stated


def test_a_file_that_has_changed_is_refused(tmp_path, finished, weights):
  path = tmp_path / 'mine.safetensors'
  tensors = safetensors.numpy.load_file(weights)
  safetensors.numpy.save_file(tensors, path)
  context = context_of(finished, tmp_path / 'w', model__weights=str(path))
  stated = open_weights(context).pretrained
  artifacts.write_json(
    context.workdir.config, {'config': {}, 'pretrained': stated}
  )
  assert open_weights(context).pretrained == stated
  tensors['params/Dense_0/bias'] += 1
  safetensors.numpy.save_file(tensors, path)
  with pytest.raises(ConfigError, match='has changed since .* --workdir'):
    open_weights(context)


def test_the_last_layer_is_new_where_classes_differ(
  tmp_path, finished, weights
):
  dataset = dataclasses.replace(
    finished.dataset, class_names=(*finished.dataset.class_names, 'more')
  )
  context = context_of(finished, tmp_path, model__weights=weights)
  opened = open_weights(dataclasses.replace(context, dataset=dataset))
  assert opened.pretrained['new_head'] is True


def test_images_are_normalised_as_asked_for(tmp_path, finished):
  context = context_of(finished, tmp_path)
  assert open_weights(context).dataset is finished.dataset
  grey = context_of(finished, tmp_path, dataset__normalise='half')
  with pytest.raises(ConfigError, match='3 channels, and images have 1'):
    open_weights(grey)
  images = np.repeat(finished.dataset.train.images[:100], 3, -1)
  dataset = dataclasses.replace(
    finished.dataset,
    train=dataclasses.replace(
      finished.dataset.train,
      images=images,
      labels=finished.dataset.train.labels[:100],
      ids=finished.dataset.train.ids[:100],
    ),
  )
  opened = open_weights(dataclasses.replace(grey, dataset=dataset))
  assert opened.dataset.mean.tolist() == [0.5] * 3


def test_weights_and_a_checkpoint_are_not_both_allowed(weights):
  config = running.tiny_config(
    model__weights=weights, train__init_from='w/train/run_00/checkpoints/44'
  )
  with pytest.raises(ConfigError, match='not allowed with model.weights'):
    config_lib.check(config)


@pytest.mark.parametrize('width', [4, 8])
def test_a_wrong_start_is_refused_before_the_workdir_is_bound(
  finished, tmp_path, width
):
  path = finished.workdir.run('train', 0) / 'checkpoints' / '44'
  message = 'holds another network than config.model says'
  if width == 4:  # As the checkpoint's.
    path, message = finished.workdir.config, 'is no checkpoint; allowed: a fol'
  config = running.tiny_config(train__init_from=str(path), model__width=width)
  with pytest.raises(DataDietError, match=message):
    main.run(config, str(tmp_path / 'w'), ['train'])
  assert not (tmp_path / 'w' / 'config.json').exists()
