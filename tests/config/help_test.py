"""Tests that a setting is one line, and that --help shows them all."""

import dataclasses
import subprocess
import sys

import pytest

from datadiet import config as config_lib
from datadiet.config.help import help_text
from datadiet.errors import ConfigError
from datadiet.settings import checks, section, setting
from datadiet.training.settings import TrainSettings
from tests import running


@dataclasses.dataclass(frozen=True)
class _Train(TrainSettings):
  foo: int = setting(3, checks.integer(1), 'A new one.')


@dataclasses.dataclass(frozen=True)
class _Config(config_lib.Config):
  train: _Train = section(_Train)


def test_a_line_in_a_section_is_all_that_a_new_setting_needs():
  config = config_lib.get_config(_Config)
  assert config.train.foo == 3
  config_lib.check(config, _Config)
  config.train.foo = 0
  with pytest.raises(ConfigError, match='config.train.foo: 0 .* from 1 to'):
    config_lib.check(config, _Config)
  with pytest.raises(ConfigError, match='config.train.foo is not a setting'):
    config_lib.check(config)
  text = help_text([], [], _Config)
  assert '  --config.train.foo=3\n      A new one. Allowed: an integer' in text


@pytest.mark.parametrize('flag', ['--help', '--helpfull', '-h'])
def test_help_shows_all_flags_and_settings(flag, tmp_path):
  env = running.environment(tmp_path)
  done = running.run_main([flag], env)
  assert (done.returncode, done.stderr) == (0, '')
  lines = done.stdout.splitlines()
  for name, field in config_lib.FIELDS.items():
    assert any(
      line.partition('=')[0].strip() == f'--config.{name}' for line in lines
    ), name
    assert field.help
  for name in ('config', 'workdir', 'stages', 'sweep_index', 'process_id'):
    assert any(line.startswith(f'  --{name}') for line in lines)
  assert 'Experiments by name: base, cnn_digits, ' in done.stdout
  assert 'offset: offset=0, how many of the smallest' in done.stdout
  assert max(map(len, lines)) <= 80


def test_help_shows_what_a_plugin_adds(tmp_path):
  done = running.run_main(
    ['--help', '--config.plugins=plugin'],
    running.environment(tmp_path),
    cwd=running.REPOSITORY / 'examples',
  )
  assert (done.returncode, done.stderr) == (0, '')
  assert 'every_other: stride=2, ' in done.stdout
  assert 'staircase' in done.stdout


@pytest.mark.parametrize(
  ('arguments', 'shown'),
  [
    (['datadiet', '--help'], ('--compile_for', '--data_shape', '--config.tra')),
    (['datadiet', 'import', '--help'], ('--logits: ', '--config: ')),
    (['datadiet', 'export', '--help'], ('--selection: ', '--output: ')),
    (['datadiet', 'apply', '--help'], ('--decisions: ', '--out: ')),
    (['datadiet', 'review', '--help'], ('--port: ', 'WORKDIR/review')),
    (['datadiet.importer', '--help'], ('--logits: ', '--config: ')),
    (['datadiet.export', '-h'], ('--selection: ', '--output: ')),
  ],
)
def test_every_command_has_a_help_of_its_own(arguments, shown, tmp_path):
  done = _run(arguments, tmp_path)
  assert (done.returncode, done.stderr) == (0, '')
  assert all(text in done.stdout for text in shown)


@pytest.mark.parametrize(
  ('arguments', 'told'),
  [
    (['datadiet', '--compile_fr=x'], 'did you mean compile_for?'),
    (
      ['datadiet', 'exprot'],
      'allowed: import, export, review, apply, or none to',
    ),
    (['datadiet', 'import', '--logit=x'], 'did you mean logits?'),
    (['datadiet', 'export', '--formt=x'], 'did you mean format?'),
    (['datadiet', 'apply', '--out=x'], 'one argument, WORKDIR, is needed'),
    (['datadiet', 'review', 'gs://b/w'], 'allowed: a folder on this machine'),
    (['datadiet.export', '--run=x'], "--run: 'x' is not allowed; "),
  ],
)
def test_a_wrong_command_line_is_one_sentence(arguments, told, tmp_path):
  done = _run(arguments, tmp_path)
  assert done.returncode == 2
  (line,) = done.stderr.splitlines()
  assert line.startswith('datadiet: ') and told in line


def _run(arguments, folder):
  return subprocess.run(
    [sys.executable, '-m', *arguments],
    cwd=running.REPOSITORY,
    env=running.environment(folder),
    capture_output=True,
    text=True,
    check=False,
  )
