"""Runs configs, made tiny, through all stages: CIFAR-10's and a folder's."""

import importlib
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from configs import method_grid
from datadiet import config as config_lib
from datadiet.config import sweep
from datadiet.runtime.slots import choose_slots
from datadiet.scoring.registry import SCORES
from datadiet.selection import POLICIES
from datadiet.stages.selections import plan_selections
from tests import running
from tests.data import formats
from tests.results import synthetic

NUM_TRAIN, NUM_TEST = 320, 100


@pytest.fixture(scope='module')
def few_images(tmp_path_factory):
  """A data_dir with the first images of the real CIFAR-10, and a cache."""
  folder = tmp_path_factory.mktemp('data')
  formats.write_first_cifar10(folder, NUM_TRAIN, NUM_TEST)
  return folder


@pytest.fixture(scope='module')
def env(tmp_path_factory):
  # HOME holds the cache of decoded images.
  folder = tmp_path_factory.mktemp('environment')
  return running.environment(folder, num_devices=1)


def _tiny(num_steps: int = 6) -> dict:
  return {
    'model.width': 2,
    'train.num_runs': 1,
    'train.num_steps': num_steps,
    'train.schedule_steps': num_steps,
    'train.batch_size': 64,
    'train.eval_batch_size': 64,
    'score.steps': (num_steps,),
    'score.batch_size': 128,
    'score.gradient_batch_size': 64,
    'select.fractions': (0.5,),
    'retrain.num_runs': 1,
    'retrain.num_steps': 2,
  }


def _run_all_stages(config: str, few_images, env, workdir) -> None:
  module = importlib.import_module(f'configs.{config}').get_config()
  done = running.run_main(
    [
      f'--config=configs/{config}.py',
      f'--workdir={workdir}',
      f'--config.dataset.data_dir={few_images}',
      *running.as_flags(_tiny()),
    ],
    env,
  )
  assert done.returncode == 0, done.stderr
  header, *rows = (workdir / 'scores' / 'scores.csv').read_text().splitlines()
  assert header.split(',') == [
    'example_index',
    'id',
    'label',
    'label_name',
    *module.score.names,
  ]
  assert len(rows) == NUM_TRAIN
  assert rows[0].split(',')[1].startswith('train_')
  for name in ('el2n_step_6_keep_max_160', 'random_160'):
    assert (workdir / 'retrain' / name / 'run_00' / 'manifest.json').exists()
  assert json.loads((workdir / 'report' / 'summary.json').read_text())
  assert (workdir / 'report' / 'index.html').exists()


@formats.needs_cifar10
def test_simple_cnn(few_images, env, tmp_path):
  _run_all_stages('simple_cnn_cifar10', few_images, env, tmp_path / 'workdir')


@formats.needs_cifar10
def test_resnet18(few_images, env, tmp_path):
  _run_all_stages('resnet18_cifar10', few_images, env, tmp_path / 'workdir')


@formats.needs_cifar10
def test_resnet50(few_images, env, tmp_path):
  _run_all_stages('resnet50_cifar10', few_images, env, tmp_path / 'workdir')


_WATCHED = """
import sys
from datadiet import main
from datadiet.training.trainer import Trainer

seen = []
run_steps = Trainer.run_steps

def watched(self, *inputs):
  outputs = run_steps(self, *inputs)
  seen.append('tensorflow' in sys.modules)
  return outputs

Trainer.run_steps = watched
sys.argv = ['datadiet', *sys.argv[1:]]
try:
  main.main()
except SystemExit as error:
  assert not error.code, error.code
print('before first step:', seen[0], 'at the end:', 'tensorflow' in sys.modules)
"""


_DECODE = """
import sys
from datadiet.configs import simple_cnn_cifar10
from datadiet.data import load_dataset

config = simple_cnn_cifar10.get_config()
config.dataset.data_dir = sys.argv[1]
load_dataset(config.dataset)
"""


@formats.needs_cifar10
def test_no_tensorflow_before_the_first_step(few_images, env, tmp_path):
  flags = [
    '--config=configs/simple_cnn_cifar10.py',
    f'--config.dataset.data_dir={few_images}',
    *running.as_flags(_tiny(2)),
    '--stages=train',
  ]
  # Whatever ran before, the images are in the cache after this.
  subprocess.run(
    [sys.executable, '-c', _DECODE, str(few_images)],
    cwd=running.REPOSITORY,
    env=env,
    capture_output=True,
    check=True,
  )
  with_writers = {**env, 'PYTHONPATH': str(running.REPOSITORY)}
  done = subprocess.run(
    [
      sys.executable,
      '-c',
      _WATCHED,
      *flags,
      f'--workdir={tmp_path / "workdir"}',
    ],
    cwd=running.REPOSITORY,
    env=with_writers,
    capture_output=True,
    text=True,
    check=False,
  )
  assert done.returncode == 0, done.stderr
  assert 'Read cifar10 from the cache' in done.stderr
  # CLU's writers import it, once the first step has run.
  assert done.stdout == 'before first step: False at the end: True\n'
  assert list(tmp_path.glob('workdir/train/run_00/events.out.tfevents.*'))


@formats.needs_cifar10
def test_a_data_dir_without_the_set_says_how_to_get_it(env, tmp_path):
  (tmp_path / 'data').mkdir()
  done = running.run_main(
    [
      '--config=configs/simple_cnn_cifar10.py',
      f'--config.dataset.data_dir={tmp_path / "data"}',
      f'--workdir={tmp_path / "workdir"}',
    ],
    env,
  )
  assert done.returncode == 2
  last = done.stderr.splitlines()[-1]
  assert last.startswith(f'datadiet: config.dataset.data_dir: {tmp_path}')
  assert 'or leave data_dir empty to have TFDS download it' in last
  assert 'Traceback' not in done.stderr
  assert not (tmp_path / 'workdir').exists()


def test_an_unknown_data_set_is_refused(env, tmp_path):
  done = running.run_main(
    running.tiny_flags(tmp_path / 'workdir', dataset__name='cifar11'), env
  )
  assert done.returncode in (1, 2)
  last = done.stderr.splitlines()[-1]
  assert last.startswith('datadiet: config.dataset.name: ')
  assert "'cifar11'" in last
  assert last.endswith('did you mean cifar10?')
  assert 'Traceback' not in done.stderr
  assert not (tmp_path / 'workdir').exists()


def test_a_folder_of_unequal_classes_gets_its_report(env, tmp_path):
  photos, rng = tmp_path / 'photos', np.random.default_rng(0)
  for name, num in (('cats', 40), ('dogs', 20), ('birds', 6)):
    (photos / name).mkdir(parents=True)
    for number in range(num):
      height, width = rng.integers(20, 40, 2)
      pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
      Image.fromarray(pixels).save(photos / name / f'{number}.png')
  workdir = tmp_path / 'workdir'
  done = running.run_main(
    [
      '--config=configs/image_folder.py',
      f'--workdir={workdir}',
      f'--config.dataset.data_dir={photos}',
      '--config.dataset.image_size=16',
      '--config.model.width=2',
      '--config.train.num_epochs=2',
      '--config.train.batch_size=8',
      '--config.retrain.num_runs=1',
    ],
    env,
  )
  assert done.returncode == 0, done.stderr
  assert f'{photos} has no test split: 0.2 of each class become' in done.stderr
  assert '3 classes in train: birds 5, cats 32, dogs 16' in done.stderr
  left_out = 'examples left out: the smallest class has only 5 examples'
  assert left_out in done.stderr
  lines = (workdir / 'scores' / 'scores.csv').read_text().splitlines()
  assert len(lines) == 1 + 53
  assert (workdir / 'report' / 'index.html').exists()


@pytest.mark.parametrize(
  'name',
  [
    'method_grid',
    'method_grid_digits',
    'method_grid_small',
    'method_grid_w16',
    'resnet34_imagenet',
    'resnet50_imagenet',
    'finetune_image_folder',
    'vit_b16_finetune',
    'resnet18_w16_cifar10',
  ],
)
def test_configs_of_hours_fit_together(name):
  """They are opened alone: running them takes hours, even made small."""
  config = importlib.import_module(f'configs.{name}').get_config()
  children = sweep.expand(config, 'DIR') if list(config.sweep) else []
  assert len(children) in (0, 1)
  config_lib.check(children[0].config if children else config)


# Scores that no method of the grid goes by: of the same predictions as another
# one, nearly in its order; of which no end is hard; of a part of a network; and
# of several steps or of networks that leave examples out.
_NOT_IN_THE_GRID = {
  'el1n',
  'max_margin',
  'sum_margin',
  'loss',
  'entropy',
  'confidence',
  'never_learned',
  'first_learned',
  'correctness',
  'mean_confidence',
  'accumulated_margin',
  'variability',
  'unclog',
  'input_norm',
  'grand_subset',
  'tracin_self',
  'cld',
  'memorization',
}


@pytest.fixture(scope='module')
def grid():
  """The grid's one combination, and the subsets that it plans."""
  (child,) = sweep.expand(method_grid.get_config(), 'DIR')
  config = config_lib.resolve(child.config)
  images = synthetic.make_images(num_examples=1_000)
  return config, plan_selections(config, images, None)


def _num_retrainings(selections, config) -> int:
  return (len(selections) + 1) * config.retrain.num_runs  # And all the data.


def test_the_grid_has_the_methods_and_sizes_that_it_claims(grid):
  config, selections = grid
  assert config.select.fractions == (0.7, 0.5, 0.3, 0.2, 0.1)
  # All there are, but those that differ from others in their end or an option.
  left_out = {'keep_max_abs', 'keep_min_abs', 'offset', 'random'}
  assert set(config.select.policy_names) == set(POLICIES) - left_out
  assert _num_retrainings(selections, config) == 462
  # At a tenth with the cutoff that is recommended, and with the default one.
  ccs = [one.options for one in selections if one.policy == 'ccs']
  assert len(ccs) == 6
  assert len([one for one in ccs if one['cutoff_fraction'] != 0.1]) == 1


def test_the_grid_has_the_scores_that_it_claims(grid):
  config, _ = grid
  by_score = {score: policy for policy, score in config.select.methods if score}
  known = {name for name in SCORES if not name.endswith('_out_of_sample')}
  assert set(by_score) == known - _NOT_IN_THE_GRID
  # Each by the end that is hard.
  for policy, score in config.select.methods:
    if policy in ('keep_max', 'keep_min'):
      end = {'keep_max': 'harder', 'keep_min': 'easier'}[policy]
      assert SCORES[score].higher_is == end


def test_budgets_are_a_second_start_of_the_grid(grid):
  _, first = grid
  config = method_grid.get_config()
  config.sweep.select.policies = (('random',),)
  config.sweep.select.budget = ('worst_class', 'difficulty')
  children = sweep.expand(config, 'DIR')
  assert [child.workdir for child in children] == ['DIR', 'DIR']
  images = synthetic.make_images(num_examples=1_000)
  names = {
    one.name
    for child in children
    for one in plan_selections(config_lib.resolve(child.config), images, None)
  }
  # Beside the random draws, which are there.
  added = names - {one.name for one in first}
  assert len(added) * config.retrain.num_runs == 30
  assert len(names - added) == 5


def test_the_grid_fills_eight_devices(grid):
  """Policies that go by losses are trained apart, by a step of their own."""
  config, selections = grid
  all_epochs = [POLICIES[one.policy].epochs for one in selections]
  by_losses = [epochs for epochs in all_epochs if epochs and epochs.uses_losses]
  num_by_losses = len(by_losses) * config.retrain.num_runs
  used, num_all = 0, _num_retrainings(selections, config)
  for num_jobs in (num_all - num_by_losses, num_by_losses):
    slots = choose_slots(num_jobs, 8, config.train.batch_size)
    used += -(-num_jobs // slots) * slots
  # Of the slots' steps, 98 %: the last wave of either kind has slots to spare.
  assert num_by_losses == 21
  assert (num_all, used) == (462, 472)
