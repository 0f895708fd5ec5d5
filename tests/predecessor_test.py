"""Runs every command and every setting of docs/predecessor.md, made short."""

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from ml_collections import config_flags

from datadiet import main
from datadiet.config import FIELDS, flatten
from datadiet.models import MODELS
from datadiet.selection import ALIASES, POLICIES
from tests import running
from tests.data import formats

PAGE = running.REPOSITORY / 'docs' / 'predecessor.md'

# What makes a run short, wherever it is not what a row sets.
_SHORT = {
  **running.TINY,
  'dataset.name': 'digits',
  'model.width': 2,
  'train.num_runs': 1,
  'train.num_steps': 4,
  'train.schedule_steps': 8,
  'train.batch_size': 16,
  'train.log_every_steps': 4,
  'train.eval_every_steps': 4,
  'train.checkpoint_every_steps': 4,
  'score.steps': (),
  'select.fractions': (),
  'retrain.num_runs': 2,
  'retrain.num_steps': 3,
}
# Numbers of the page that are too large for a test.
_SMALLER = {
  'train.num_steps': 4,
  'train.schedule_steps': 8,
  'train.batch_size': 16,
  'train.early_until': 4,
  'train.early_every': 2,
  'score.unclog_sample_size': 20,
  'select.sizes': (100,),
}


def _scripts() -> list[str]:
  return re.findall(r'```sh\n(.*?)```', PAGE.read_text(), re.S)


def _settings() -> list[str]:
  rows = re.findall(r'^\| .* \| `(--.*)` \|$', PAGE.read_text(), re.M)
  assert len(rows) == PAGE.read_text().count('\n| ') - 2
  return rows


def _config_of(arguments: list[str]):
  """The config of flags given to a page's command, parsed as by absl."""
  values = flags.FlagValues()
  config = config_flags.DEFINE_config_file(
    'config', flag_values=values, lock_config=False, accept_new_attributes=True
  )
  flags.DEFINE_string('workdir', None, '', flag_values=values)
  flags.DEFINE_list(
    'stages', ['train', 'select', 'retrain'], '', flag_values=values
  )
  # The config flag looks for its overrides in there.
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, 'argv', ['main', *arguments])
    values(sys.argv)
  return config.value, values['workdir'].value, values['stages'].value


def _flags_of(command: str) -> list[str]:
  words = shlex.split(command.replace('\\\n', ' '))
  return words[3:] if words[:1] == ['python'] else words


def _split_lists(arguments: list[str]) -> list[str]:
  """Lists of names as main's own parser takes them."""
  names = ('score.names', 'select.policies')
  return [
    re.sub(r'=(.*)', lambda m: f'={tuple(m[1].split(","))}', argument)
    if argument.split('=')[0].removeprefix('--config.') in names
    else argument
    for argument in arguments
  ]


def _run(arguments: list[str], workdir: Path, **changes) -> Path:
  """Runs flags of the page with everything that makes them short."""
  given = {argument.split('=')[0][9:] for argument in arguments}
  config, _, stages = _config_of(
    [
      '--config=configs/resnet18_cifar10.py',
      *_split_lists(
        [word for word in arguments if not word.startswith('--config=')]
      ),
    ]
  )
  fields = dict(flatten(config))
  for name in given & set(FIELDS):
    assert name in fields
  for name, value in {**_SHORT, **_SMALLER, **changes}.items():
    if name not in given or name in _SMALLER or name in changes:
      running.set_field(config, name, value)
  main.run(config, str(workdir), stages)
  return workdir


# ml_collections loads config files in a way that Python 3.12 has no more.
pytestmark = pytest.mark.filterwarnings(
  'ignore:the load_module:DeprecationWarning'
)


@pytest.fixture(scope='module', autouse=True)
def compilations(tmp_path_factory):
  """Compiles once what most rows have in common."""
  with pytest.MonkeyPatch.context() as patch:
    folder = str(tmp_path_factory.mktemp('xla'))
    patch.setitem(_SHORT, 'compilation_cache_dir', folder)
    yield


@pytest.fixture(scope='module')
def experiment(tmp_path_factory):
  """The workdir of run_full_data.py."""
  script, *_ = _scripts()
  return _run(_flags_of(script), tmp_path_factory.mktemp('exps') / 'EXP')


def test_run_full_data(experiment):
  assert (experiment / 'train' / 'run_00' / 'manifest.json').exists()
  assert not (experiment / 'scores').exists()


def test_get_run_score_and_get_mean_score(experiment):
  _run(_flags_of(_scripts()[1]), experiment)
  for name in ('el2n', 'el1n', 'max_margin', 'sum_margin', 'grand'):
    for owner in ('run_00', 'mean'):
      path = experiment / 'scores' / owner / 'step_4' / f'{name}.npy'
      assert np.load(path).shape == (1437,)


@pytest.mark.parametrize(
  'number, name',
  [
    (2, 'random_100'),
    (3, 'scores_keep_max_100'),
    (4, 'scores_offset_100_offset_1000'),
  ],
)
def test_run_subsets(number, name, tmp_path, monkeypatch):
  scores = np.random.default_rng(0).random(1437)
  np.save(tmp_path / 'scores.npy', scores)
  changes = {}
  if number > 2:
    changes['select.scores_path'] = str(tmp_path / 'scores.npy')
  workdir = tmp_path / 'exps'
  _run(_flags_of(_scripts()[number]), workdir, **changes)
  assert [path.name for path in (workdir / 'retrain').iterdir()] == [name]
  assert (workdir / 'retrain' / name / 'run_01' / 'manifest.json').exists()
  order = np.argsort(scores, kind='stable')
  kept = {3: order[-100:], 4: order[1000:1100]}.get(number)
  if kept is not None:
    path = workdir / 'selections' / name / 'example_index.npy'
    np.testing.assert_array_equal(np.load(path), np.sort(kept))


def test_every_policy_it_names_exists():
  names = re.findall(r'`(\w+_scores)`', PAGE.read_text())
  assert len(set(names)) == 3
  for name in names:
    assert ALIASES[name] in POLICIES


def test_every_script_is_run_here():
  assert len(_scripts()) == 5


def _data(row: str, folder: Path) -> dict:
  """Small files of the data set that a row names, in its official format."""
  if 'cifar' in row or 'data_dir' in row:
    name = row.split('=')[-1] if 'cifar' in row else 'cifar10'
    contents = getattr(formats, f'{name}_files')()[0]
    for path, content in contents.items():
      formats.write(folder / path, content)
    return {
      'dataset.name': name,
      'dataset.data_dir': str(folder),
      'train.batch_size': 8,
      'select.sizes': (),
    }
  if 'cinic10' in row:
    for path, image in formats.cinic10_images().items():
      formats.write(folder / 'CINIC-10' / path, formats.encode(image))
    return {
      'dataset.data_dir': str(folder),
      'train.batch_size': 8,
      'select.sizes': (),
    }
  return {}


@pytest.mark.parametrize('row', _settings())
def test_settings(row, tmp_path, experiment):
  arguments = _flags_of(row)
  if row.startswith('--workdir'):
    arguments = []
  changes = _data(row, tmp_path / 'data')
  if 'init_from' in row:
    checkpoint = experiment / 'train' / 'run_00' / 'checkpoints' / '4'
    changes['train.init_from'] = str(checkpoint)
  stages = '--stages=train'
  if 'select.' in row or 'score.' in row:
    stages = '--stages=train,score,select'
    is_gradient = 'unclog' in row or 'gradient' in row
    changes['score.names'] = ('el2n', *('grand', 'unclog') * is_gradient)
  if 'resnet' in row:
    # It takes a minute to compile; tests/configs_test.py trains one.
    assert row.split('=')[-1] in MODELS
    changes['model.name'] = 'simple_cnn'
  _run([*arguments, stages], tmp_path / 'workdir', **changes)
  manifest = tmp_path / 'workdir' / 'train' / 'run_00' / 'manifest.json'
  assert manifest.exists()
