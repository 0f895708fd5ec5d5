"""Tests of settings that are read from a workdir's config.json."""

import json

import ml_collections
import pytest

from datadiet import config as config_lib
from datadiet.config import experiments, stored
from datadiet.errors import ConfigError
from datadiet.stages import opening
from datadiet.workdir.artifacts import Workdir
from tests import running


@pytest.fixture
def workdir(tmp_path):
  """A workdir with the config.json of `running.tiny_config`."""
  made = Workdir.at(tmp_path / 'workdir')
  made.root.mkdir()
  config = running.tiny_config(select__options={'offset': 3})
  config = config_lib.resolve(config)
  opening.write_config(config, made)
  return made


def test_settings_come_back_as_they_were(workdir):
  read = stored.get_config(str(workdir.config))
  expected = config_lib.resolve(
    running.tiny_config(select__options={'offset': 3})
  )
  assert config_lib.resolve(read) == expected
  assert isinstance(read.select.options, ml_collections.ConfigDict)


def test_a_file_from_before_a_setting_has_its_default(workdir):
  content = json.loads(workdir.config.read_text())
  for name in ('plugins', 'model'):
    del content['config'][name]
  content['config']['train']['gone'] = 3
  workdir.config.write_text(json.dumps(content))
  read = stored.get_config(str(workdir.config))
  assert read.plugins == ()
  assert read.model.name == 'resnet18_lowres'
  assert 'gone' not in read.train


def test_a_workdir_from_before_a_setting_was_made_with_its_default(workdir):
  content = json.loads(workdir.config.read_text())
  del content['config']['model']['options'], content['config']['plugins']
  workdir.config.write_text(json.dumps(content))
  fitting = running.tiny_config(select__options={'offset': 3})
  opening.open_config(config_lib.resolve(fitting), workdir)
  fitting.model.options = {'depth': 3}
  with pytest.raises(ConfigError, match=r'model.options \(there {}, here'):
    opening.open_config(config_lib.resolve(fitting), workdir)


@pytest.mark.parametrize(
  'text',
  [
    *('{}', '[]', 'x', '{"config": [3]}', ''),
    # A section or its options overwritten by something else.
    *('{"config": {"train": "x"}}', '{"config": {"train": []}}'),
    '{"config": {"select": {"options": {"a.b": 3}}}}',
  ],
)
def test_a_file_without_settings_is_refused_in_one_line(text, tmp_path):
  (tmp_path / 'config.json').write_text(text)
  with pytest.raises(ConfigError, match='holds no settings; allowed: '):
    experiments.find(str(tmp_path / 'config.json'))


@pytest.mark.parametrize('options', ['3', 3, None, [['offset', 3]]])
def test_stored_options_of_another_type_are_refused(workdir, options):
  content = json.loads(workdir.config.read_text())
  content['config']['select']['options'] = options
  workdir.config.write_text(json.dumps(content))
  with pytest.raises(ConfigError, match='config.select.options: .* a Config'):
    config_lib.check(stored.get_config(str(workdir.config)))


def test_an_experiment_is_found_by_name_and_by_path(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  found = experiments.find('cnn_digits')
  assert found.endswith('configs/cnn_digits.py')
  assert experiments.find(found) == found
  assert experiments.find('cnn_digits:3') == f'{found}:3'
  (tmp_path / 'cnn_digits').write_text('')
  assert experiments.find('cnn_digits') == 'cnn_digits'
  with pytest.raises(ConfigError, match='did you mean resnet50_cifar100'):
    experiments.find('resnet5_cifar100')
