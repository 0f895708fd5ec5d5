"""Tests of how a workdir is opened: compute type and labels."""

import dataclasses
import json
import types

import jax
import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet import main
from datadiet.configs import base
from datadiet.errors import ConfigError
from datadiet.results import load_results
from datadiet.stages.opening import (
  choose_dtypes,
  open_config,
  open_dataset,
  write_config,
)
from datadiet.workdir.artifacts import Workdir
from tests import running
from tests.results import synthetic


def _config(dtype: str):
  config = base.get_config()
  config.model.dtype = dtype
  return config_lib.resolve(config)


def _pretend(monkeypatch, platform, **about):
  """Lets a device of that platform be the only one."""
  device = types.SimpleNamespace(platform=platform, **about)
  monkeypatch.setattr(jax, 'devices', lambda: [device])


@pytest.mark.parametrize(
  ('backend', 'expected'),
  [('cpu', 'float32'), ('gpu', 'bfloat16'), ('tpu', 'bfloat16')],
)
def test_auto_is_bfloat16_on_accelerators(backend, expected, monkeypatch):
  _pretend(monkeypatch, backend)
  assert base.get_config().model.dtype == 'auto'
  found = choose_dtypes(_config('auto'), None)
  assert found.model.dtype == expected
  assert _config('auto').model.dtype == 'auto'


@pytest.mark.parametrize(
  ('capability', 'expected'),
  [
    ('7.5', 'float32'),
    ('8.0', 'bfloat16'),
    ('12.0', 'bfloat16'),
    ('gfx90a', 'bfloat16'),
  ],
)
def test_old_gpus_have_no_bfloat16(capability, expected, monkeypatch):
  _pretend(monkeypatch, 'gpu', compute_capability=capability)
  assert choose_dtypes(_config('auto'), None).model.dtype == expected


@pytest.mark.parametrize(
  ('backend', 'before', 'expected'),
  [
    ('cpu', None, 'float32'),
    ('gpu', None, 'float32'),
    ('tpu', None, 'bfloat16_3x'),
    ('cpu', {'dtype': 'bfloat16_3x'}, 'bfloat16_3x'),
    ('tpu', {'dtype': 'float32'}, 'float32'),
    ('tpu', {}, 'float32'),  # From before there was this setting.
  ],
)
def test_scores_take_three_products_on_tpus(
  backend, before, expected, monkeypatch
):
  _pretend(monkeypatch, backend)
  if before is not None:
    before = {'model': {'dtype': 'float32'}, 'score': before}
  found = choose_dtypes(_config('float32'), before)
  assert found.score.dtype == expected


@pytest.mark.parametrize('begun', ['float32', 'bfloat16'])
@pytest.mark.parametrize('backend', ['cpu', 'gpu'])
def test_auto_keeps_what_a_workdir_was_begun_with(begun, backend, monkeypatch):
  _pretend(monkeypatch, backend)
  before = {'model': {'dtype': begun}, 'score': {}}
  assert choose_dtypes(_config('auto'), before).model.dtype == begun


def test_a_type_asked_for_is_kept(monkeypatch):
  _pretend(monkeypatch, 'gpu')
  assert choose_dtypes(_config('float32'), None).model.dtype == 'float32'


def _tiny(**changes):
  return running.tiny_config(
    **{
      'train__num_runs': 1,
      'train__num_steps': 22,
      'train__schedule_steps': 22,
      'score__steps': (22,),
      'score__names': ('el2n', 'grand', 'input_norm'),
      'select__scores': ('el2n',),
      **changes,
    }
  )


@pytest.fixture(scope='module')
def narrow(tmp_path_factory):
  """A workdir begun in bfloat16, as on a GPU, and gone on with here."""
  workdir = tmp_path_factory.mktemp('narrow') / 'workdir'
  main.run(_tiny(model__dtype='bfloat16'), str(workdir), ['train'])
  main.run(_tiny(model__dtype='auto'), str(workdir), ['train', 'score'])
  return workdir


def test_every_artifact_says_the_type(narrow):
  def read(name):
    return json.loads((narrow / name).read_text())

  assert read('config.json')['config']['model']['dtype'] == 'bfloat16'
  assert (
    read('train/run_00/manifest.json')['settings']['model']['dtype']
    == 'bfloat16'
  )
  scored = read('scores/run_00/step_22/manifest.json')
  assert scored['model']['dtype'] == 'bfloat16'
  assert scored['scores']['el2n']['dtype'] == 'float32'
  assert scored['scores']['grand']['dtype'] == 'float32'
  assert 'dtype' not in scored['scores']['input_norm']


def test_another_type_than_the_workdirs_is_refused(narrow):
  with pytest.raises(ConfigError) as caught:
    main.run(_tiny(model__dtype='float32'), str(narrow), ['train'])
  assert "model.dtype (there 'bfloat16', here 'float32')" in str(caught.value)


@pytest.mark.parametrize(
  ('changes', 'is_free'),
  [
    ({'dataset__labels_order': 'ids'}, True),
    ({'dataset__labels_are': 'numbers'}, True),
    ({'train__profile_steps': (3, 5)}, True),
    ({'plugins': ('tests.plugins',)}, True),
    ({'score__gradient_runs': 1}, True),
    ({'sweep__select__fractions': ((0.5,),)}, True),
    ({'train__model_seed': 1}, False),
    ({'train__subset_path': 'mine.npy'}, False),
    ({'dataset__image_size': 16}, False),
  ],
)
def test_settings_that_change_no_network_may_differ(tmp_path, changes, is_free):
  workdir = Workdir.at(tmp_path / 'workdir')
  write_config(config_lib.resolve(_tiny()), workdir)
  config = config_lib.resolve(_tiny(**changes))
  if is_free:
    assert open_config(config, workdir) is not None
    return
  with pytest.raises(ConfigError, match='was made with another config'):
    open_config(config, workdir)


def test_scores_are_made_again_in_the_type_asked_for(narrow, tmp_path):
  workdir = tmp_path / 'workdir'
  running.copy_without(narrow, workdir, ())
  folder = workdir / 'scores' / 'run_00' / 'step_22'
  exact = np.load(folder / 'el2n.npy')
  config = _tiny(model__dtype='auto', score__dtype='bfloat16')
  main.run(config, str(workdir), ['score'])
  rounded = np.load(folder / 'el2n.npy')
  np.testing.assert_allclose(rounded, exact, atol=0.1)
  # Rounded to 8 bits on the way, which float32 would not show.
  assert np.abs(rounded - exact).max() > 1e-5


def test_plugins_may_be_added_to_a_workdir(tmp_path):
  workdir = Workdir.at(tmp_path / 'workdir')
  write_config(open_config(_config('float32'), workdir), workdir)
  added = dataclasses.replace(_config('float32'), plugins=('json',))
  assert open_config(added, workdir).plugins == ('json',)
  model = dataclasses.replace(added.model, width=3)
  with pytest.raises(ConfigError, match='another config: model.width'):
    open_config(dataclasses.replace(added, model=model), workdir)


def test_labels_from_before_they_were_changed_are_kept(tmp_path):
  dataset = synthetic.make_images()
  original = dataset.train.labels
  train = dataclasses.replace(dataset.train, labels=(original + 1) % 3)
  changed = dataclasses.replace(dataset, train=train, original_labels=original)
  workdir = Workdir.at(tmp_path / 'changed')
  open_dataset(changed, workdir)
  found = load_results(workdir).original_labels
  np.testing.assert_array_equal(found, original)
  # A workdir from before there was this file gets it.
  workdir.original_labels.unlink()
  open_dataset(changed, workdir)
  assert workdir.original_labels.exists()
  plain = Workdir.at(tmp_path / 'plain')
  open_dataset(dataset, plain)
  assert load_results(plain).original_labels is None


def test_what_deletes_retrainings_is_not_stored(tmp_path):
  config = config_lib.resolve(running.tiny_config(select__remake=True))
  workdir = Workdir.at(tmp_path)
  write_config(config, workdir)
  stored = json.loads(workdir.config.read_text())['config']
  assert stored['select']['remake'] is False


@pytest.mark.parametrize('path', ['hdfs://x/y', 'file:///tmp/w', 'http://x/y'])
def test_a_workdir_in_an_unknown_kind_of_store_is_refused(path):
  with pytest.raises(ConfigError, match='--workdir: .* is not allowed; allo'):
    Workdir.at(path)
