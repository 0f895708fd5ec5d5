"""Tests that wrong command lines and config files are refused in one line."""

import pytest

from datadiet.config import flags
from tests import running


@pytest.fixture(scope='module')
def env(tmp_path_factory):
  return running.environment(tmp_path_factory.mktemp('environment'))


# Command lines that are refused before any work, and what is said of them.
_CONFIG = '--config=configs/cnn_digits.py'
_REFUSED = {
  'misspelt field': (
    [_CONFIG, '--config.train.num_run=3'],
    'config.train.num_run is not a setting; did you mean train.num_runs?',
  ),
  'misspelt section': (
    [_CONFIG, '--config.trian.num_runs=3'],
    'config.trian.num_runs is not a setting; did you mean train.num_runs?',
  ),
  'misspelt boolean': (
    [_CONFIG, '--noconfig.retrain.ful'],
    'config.retrain.ful is not a setting; did you mean retrain.full?',
  ),
  'whole section': (
    [_CONFIG, '--config.train=3'],
    'config.train is a group of settings; set one of them, such as '
    '--config.train.num_runs=VALUE',
  ),
  'text for an integer': (
    [_CONFIG, '--config.train.num_runs=abc'],
    "config.train.num_runs: 'abc' is not allowed; allowed: an integer from 1",
  ),
  'number for an integer': (
    [_CONFIG, '--config.train.num_runs', '2.5'],
    "config.train.num_runs: '2.5' is not allowed; allowed: an integer from 1",
  ),
  'text for a number': (
    [_CONFIG, '--config.optimizer.learning_rate=fast'],
    "config.optimizer.learning_rate: 'fast' is not allowed; allowed: a number",
  ),
  'text for a boolean': (
    [_CONFIG, '--config.retrain.full=maybe'],
    "config.retrain.full: 'maybe' is not allowed; allowed: True or False",
  ),
  'policies with scores of their own': (
    [_CONFIG, '--config.select.policies=keep_max:el2n, keep_min:lss@3'],
    "config.select.scores: 'lss@3' is not scored at that step; allowed: one",
  ),
  'half a tuple': (
    [_CONFIG, '--config.score.steps=(3,'],
    "config.score.steps: '(3,' is not allowed; allowed: a tuple, each item an",
  ),
  'two experiments': (
    [_CONFIG, '--config=cnn_digits'],
    '--config is given more than once; allowed: one experiment, and',
  ),
  'no value': (
    [_CONFIG, '--config.train.num_runs'],
    'Missing value for flag --config.train.num_runs',
  ),
  'setting before the config': (
    ['--config.train.num_runs=3', _CONFIG],
    'Found --config.train.num_runs=3 in argv before a value for --config',
  ),
  'wrong value': (
    [_CONFIG, '--config.train.num_runs=0'],
    'config.train.num_runs: 0 is not allowed; allowed: an integer from 1',
  ),
  'fraction above 1': (
    [_CONFIG, '--config.select.fractions=(0.5,1.5)'],
    'config.select.fractions: (0.5, 1.5) is not allowed; allowed: a tuple, '
    'each item a number in (0, 1]',
  ),
  'fraction 0': (
    [_CONFIG, '--config.select.fractions=0.0'],
    'config.select.fractions: (0.0,) is not allowed',
  ),
  'unknown model': (
    [_CONFIG, '--config.model.name=simple_cn'],
    "config.model.name: 'simple_cn' is not allowed; allowed: one of simple_cnn",
  ),
  'unknown score': (
    [_CONFIG, '--config.score.names=el2m'],
    "config.score.names: ('el2m',) is not allowed; allowed: a tuple, not empty",
  ),
  'unknown policy': (
    [_CONFIG, '--config.select.policies=keep_best'],
    "config.select.policies: ('keep_best',) is not allowed; allowed: a tuple",
  ),
  'option of no policy': (
    [_CONFIG, '--config.select.options.bogus=3'],
    'config.select.options.bogus is an option of none of the policies keep_max',
  ),
  'unknown flag': (
    [_CONFIG, '--stage=train'],
    '--stage is not a flag; did you mean stages?',
  ),
  'unknown stage': (
    [_CONFIG, '--stages=trian'],
    "--stages: 'trian' is not allowed; allowed: train, score, inspect, audit, "
    'select, retrain, report; did you mean train?',
  ),
  'no stage': ([_CONFIG, '--stages='], '--stages is empty; allowed: train, '),
  'stray argument': (
    [_CONFIG, 'num_runs=3'],
    "unexpected argument 'num_runs=3'; settings are given as --config.",
  ),
  'no config': ([], '--config is missing, and '),
  'setting without a config': (
    ['--config.train.num_runs=3'],
    '--config is missing, and ',
  ),
  'a setting as a flag': (
    [_CONFIG, '--num_runs=3'],
    '--num_runs is not a flag; did you mean --config.train.num_runs?',
  ),
  'unknown experiment': (
    ['--config=cnn_digit'],
    "--config: there is no file 'cnn_digit'; allowed: a file, the config.json "
    'of a workdir, or one of base, cnn_digits, ',
  ),
  'config.json that is not there': (
    ['--config=workdirs/none/config.json'],
    "--config: there is no file 'workdirs/none/config.json'",
  ),
  'unknown option of a model': (
    [_CONFIG, '--config.model.options.depth=3'],
    "config.model.options: model 'simple_cnn' has no option 'depth'; its "
    'options: ',
  ),
  'plugin that is not there': (
    [_CONFIG, '--config.plugins=my_modul'],
    "config.plugins: there is no module 'my_modul'; allowed: modules that",
  ),
  'empty config': (['--config='], "--config: there is no file ''"),
  'config that is not there': (
    ['--config=configs/none.py', '--config.train.num_runs=3'],
    "--config: there is no file 'configs/none.py'",
  ),
  'config that is a folder': (
    ['--config=configs'],
    "--config: there is no file 'configs'",
  ),
}
# What stands in a config file, and what is said of it.
_CONFIG_FILES = {
  'divides': ('x = 1\n1 / 0', 'line 2: ZeroDivisionError: division by zero'),
  'converts': (
    'def get_config():\n  return int("three")',
    "line 2: ValueError: invalid literal for int() with base 10: 'three'",
  ),
  'imports': (
    'from datadiet.configs import bass',
    "line 1: ImportError: cannot import name 'bass' from 'datadiet.configs'",
  ),
  'syntax': ('def get_config(:\n', 'line 1: SyntaxError: invalid syntax'),
  'empty': ('', "AttributeError: module 'config_config' has no attribute"),
  'number': (
    'def get_config():\n  return 3',
    'must return a ml_collections.ConfigDict; it returned 3',
  ),
}


def _assert_one_line(refusal, message: str, code: int = 2):
  assert refusal.code == code, refusal.stderr
  assert refusal.stdout == ''
  assert refusal.stderr.startswith('datadiet: ')
  assert message in refusal.stderr
  assert refusal.stderr.count('\n') == 1
  assert refusal.stderr.endswith('\n')


@pytest.fixture(scope='module')
def refusals(env, tmp_path_factory):
  """name -> (how it ended, its workdir) for all that is refused at once."""
  folder = tmp_path_factory.mktemp('refusals')
  command_lines = {name: flags for name, (flags, _) in _REFUSED.items()}
  for name, (text, _) in _CONFIG_FILES.items():
    (folder / f'{name}.py').write_text(text)
    command_lines[name] = [f'--config={folder / name}.py']
  ended = running.refuse_many(
    [
      [f'--workdir={folder / "workdirs" / name}', *flags]
      for name, flags in command_lines.items()
    ],
    folder / 'output',
    env,
  )
  return dict(zip(command_lines, ended, strict=True)), folder / 'workdirs'


@pytest.mark.parametrize('name', list(_REFUSED))
def test_wrong_command_lines_are_refused(refusals, name):
  ended, workdirs = refusals
  _assert_one_line(ended[name], f'datadiet: {_REFUSED[name][1]}')
  assert not workdirs.exists()


@pytest.mark.parametrize('name', list(_CONFIG_FILES))
def test_wrong_config_files_are_refused(refusals, name):
  ended, workdirs = refusals
  _assert_one_line(ended[name], _CONFIG_FILES[name][1])
  assert f'{name}.py' in ended[name].stderr
  assert not workdirs.exists()


@pytest.mark.parametrize(
  'value, expected',
  [
    ('a:b@3,c', "('a:b@3', 'c')"),
    ('a:b', "('a:b',)"),
    ('a, c,', "('a', 'c')"),
    ("('a:b','c')", "('a:b','c')"),
    ("'a','c'", "'a','c'"),
    ('()', '()'),
  ],
)
def test_names_are_quoted(value, expected):
  name = '--config.select.policies'
  assert flags._quoted([f'{name}={value}']) == [f'{name}={expected}']
  assert flags._quoted([name, value, 'x']) == [name, expected, 'x']
  other = ['--config.select.scores_path=a,b', '--config.select.sizes=1,2']
  assert flags._quoted(other) == other
