"""Tests of the checks of every setting."""

import importlib

import ml_collections
import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet.config import experiments
from datadiet.configs import base
from datadiet.errors import ConfigError
from tests import running


@pytest.mark.parametrize('name', experiments.shipped())
def test_every_experiment_that_is_shipped_is_allowed(name):
  module = importlib.import_module(f'datadiet.configs.{name}')
  config_lib.check(module.get_config())


_INTEGERS = (1.5, '3', None, True, 2**31)
_FRACTIONS = ((0.0,), (1.5,), (-0.1,), ('0.5',), 0.5, (float('nan'),))
_SEED = (-1, *_INTEGERS)
_COUNT = (0, -1, *_INTEGERS)
_TEXT = (3, None)
_NUMBER = (float('nan'), float('inf'), '0.1', None, True)

# Values that each field must refuse.
WRONG = {
  'dataset.name': ('', *_TEXT),
  'dataset.data_dir': _TEXT,
  'dataset.cache_dir': _TEXT,
  'dataset.label_key': _TEXT,
  'dataset.id_key': _TEXT,
  'dataset.image_size': (-1, *_INTEGERS),
  'dataset.resize': ('crop', '', 1),
  'dataset.crop_size': (-1, *_INTEGERS),
  'dataset.normalise': ('none', '', 0),
  'dataset.placement': ('gpu', '', 1),
  'dataset.extra_tests': ({'a b': 'x.npy'}, {'fog': 3}, {'fog': ''}, 3, None),
  'dataset.train_splits': (('',), (3,), 'train', None),
  'dataset.test_split': _TEXT,
  'dataset.test_fraction': (0.0, 1.0, *_NUMBER),
  'dataset.skip_unreadable': (1, 'yes', None),
  'dataset.background': ('', 'red', '#12', None),
  'dataset.labels_path': _TEXT,
  'dataset.labels_are': ('Names', 'number', 1, None),
  'dataset.labels_order': ('id', 'torchvision', 0, None),
  'dataset.label_noise.fraction': (-0.1, 1.1, *_NUMBER),
  'dataset.label_noise.seed': _SEED,
  'dataset.label_noise.kind': ('shuffle', '', None),
  'model.name': ('resnet', 'ResNet18_lowres', '', 18),
  'model.weights': _TEXT,
  'model.width': (-1, *_INTEGERS),
  'model.options': (3, None, ()),
  'optimizer.options': (3, None, ()),
  'model.dtype': ('float16', '', 32),
  'optimizer.name': ('sdg', '', None),
  'optimizer.learning_rate': (0.0, -0.1, *_NUMBER),
  'optimizer.momentum': (-0.1, 1.1, *_NUMBER),
  'optimizer.nesterov': (1, 'yes', None),
  'optimizer.weight_decay': (-1e-4, *_NUMBER),
  'optimizer.schedule': ('step', '', None),
  'optimizer.decay_fractions': _FRACTIONS,
  'optimizer.decay_factor': (0.0, -0.2, *_NUMBER),
  'optimizer.warmup_fraction': (-0.1, 1.1, *_NUMBER),
  'train.num_runs': _COUNT,
  'train.num_steps': _COUNT,
  'train.schedule_steps': (-1, *_INTEGERS),
  'train.batch_size': _COUNT,
  'train.folds': (-1, 1, *_INTEGERS),
  'train.subset_fraction': (0.0, 1.1, -0.5, *_NUMBER),
  'train.imported': ('yes', True, None),
  'train.dynamics_window': (1, *_INTEGERS),
  'train.eval_batch_size': _COUNT,
  'train.augmentation': ('flip_crop', '', None),
  'train.crop_padding': (-1, *_INTEGERS),
  'train.color_jitter': (-0.1, 1.1, *_NUMBER),
  'train.min_crop_area': (0.0, 1.1, *_NUMBER),
  'train.label_smoothing': (-0.1, 1.0, *_NUMBER),
  'train.model_seed': _SEED,
  'train.data_seed': _SEED,
  'train.log_every_steps': _COUNT,
  'train.eval_every_steps': _COUNT,
  'train.checkpoint_every_steps': _COUNT,
  'train.early_steps': ((-1,), (0.5,), 3, ('3',)),
  'train.early_every': (-1, *_INTEGERS),
  'train.early_until': (-1, *_INTEGERS),
  'train.num_epochs': (-1, *_INTEGERS),
  'train.init_from': _TEXT,
  'train.trainable': ('(', *_TEXT),
  'train.subset_path': _TEXT,
  'train.profile_steps': ((3,), (3, 3), (-1, 3), (1, 2, 3), (1.0, 2), 3, None),
  'train.runs_at_once': (-1, *_INTEGERS),
  'train.steps_per_call': (-1, *_INTEGERS),
  'score.names': ((), ('el2m',), 'el2n', (2,), None),
  'score.steps': ((-1,), (0.5,), 3, ('3',)),
  'score.batch_size': _COUNT,
  'score.gradient_batch_size': (-1, *_INTEGERS),
  'score.grand_subset': ('(', *_TEXT),
  'score.per_layer': (1, 'yes', None),
  'score.unclog_sample_size': _COUNT,
  'score.unclog_seed': _SEED,
  'score.dtype': ('float64', 'high', '', None),
  'score.keep': (('logits',), 'features', None),
  'score.gradient_runs': (-1, *_INTEGERS),
  'inspect.embeddings_path': _TEXT,
  'inspect.test_embeddings_path': _TEXT,
  'inspect.map': ('tsne', 1, None),
  'audit.threshold_samples': (1, 'yes', None),
  'select.scores': (('el2 n',), 'el2n', (2,), None),
  'plugins': (('',), 'plugin', (3,), None),
  'select.scores_path': _TEXT,
  'select.higher_is': ('hard', 1, None),
  'select.embeddings': ('pixels', 1, None),
  'select.embeddings_path': _TEXT,
  'select.policies': (('keep_mx',), ('ccs:',), ('ccs:a b',), 'ccs', (1,), None),
  'select.fractions': _FRACTIONS,
  'select.sizes': ((0,), (-5,), (0.5,), 100, ('100',)),
  'select.step': (-2, *_INTEGERS),
  'select.budget': ('hardest', True, None),
  'select.class_balanced': (1, 'yes', None),
  'select.options': (3, None, ()),
  'select.baselines': (('rand',), 'random', None),
  'select.seed': _SEED,
  'select.remake': (1, 'yes', None),
  'retrain.num_runs': _COUNT,
  'retrain.num_steps': (-1, *_INTEGERS),
  'retrain.full': (1, 'yes', None),
  'retrain.first_run': (-1, *_INTEGERS),
  'sweep': (3, None, ()),
  'compilation_cache_dir': _TEXT,
}


def _fields(config) -> set[str]:
  return {name for name, _ in config_lib.flatten(config)}


def test_every_field_has_a_check_and_every_check_a_field():
  assert _fields(base.get_config()) == set(config_lib.FIELDS)


def test_every_field_has_wrong_values_here():
  assert set(WRONG) == set(config_lib.FIELDS)


@pytest.mark.parametrize('name', list(WRONG))
def test_wrong_values_are_refused(name):
  for wrong in WRONG[name]:
    config = running.with_raw_value(base.get_config(), name, wrong)
    with pytest.raises(ConfigError) as caught:
      config_lib.check(config)
    message = str(caught.value)
    assert message.startswith(f'config.{name}: {wrong!r} is not allowed; ')
    assert config_lib.FIELDS[name].allowed in message
    assert '\n' not in message


@pytest.mark.parametrize(
  ('name', 'value'),
  [
    ('select.fractions', (1.0, 1e-3)),
    ('select.sizes', (1,)),
    ('optimizer.momentum', 0.0),
    ('optimizer.learning_rate', 1),
    ('optimizer.weight_decay', 0.0),
    ('train.model_seed', 2**31 - 1),
    ('train.num_runs', 1),
    ('train.early_steps', (0, 7_800)),
    ('score.steps', [0]),
    ('score.names', ('l2_error', 'grand')),
    ('select.policies', ()),
    ('retrain.num_steps', 78_000),
    ('model.name', 'simple_cnn_0'),
    # Steps are compared once the epochs are known in steps.
    ('train.num_epochs', 500),
  ],
)
def test_values_at_the_edge_are_allowed(name, value):
  config_lib.check(running.with_raw_value(base.get_config(), name, value))


@pytest.mark.parametrize(
  ('name', 'wrong', 'meant'),
  [
    ('model.name', 'resnet18_low', 'resnet18_lowres'),
    ('score.names', ('el2n', 'forgeting'), 'forgetting'),
    ('select.policies', ('keepmax',), 'keep_max'),
    ('optimizer.schedule', 'cosin', 'cosine'),
  ],
)
def test_names_the_closest_name(name, wrong, meant):
  config = running.with_raw_value(base.get_config(), name, wrong)
  with pytest.raises(ConfigError, match=f'did you mean {meant}\\?$'):
    config_lib.check(config)


@pytest.mark.parametrize('value', [3, {}, {'x': 3}, None])
def test_unknown_fields_are_refused(value):
  config = running.with_raw_value(base.get_config(), 'train.num_run', value)
  with pytest.raises(ConfigError) as caught:
    config_lib.check(config)
  assert str(caught.value) == (
    f'config.train.num_run{".x" * (value == {"x": 3})} is not a setting; did '
    'you mean train.num_runs?'
  )


@pytest.mark.parametrize('item', [np.zeros(2), np.zeros((2, 2)), [], {}])
def test_arrays_among_names_are_refused(item):
  value = ('el2n', item)
  config = running.with_raw_value(base.get_config(), 'score.names', value)
  with pytest.raises(ConfigError, match='config.score.names: .* not allowed'):
    config_lib.check(config)


def test_missing_fields_are_named():
  fields = base.get_config().to_dict()
  del fields['train']['num_steps']
  with pytest.raises(ConfigError, match='config.train.num_steps is missing'):
    config_lib.check(ml_collections.ConfigDict(fields))


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    (
      {'train.num_steps': 78_001},
      'config.train.num_steps: 78001 .*at most train.schedule_steps = 78000',
    ),
    (
      {'score.steps': (0, 7_801)},
      'config.score.steps: 7801 .*at most train.num_steps = 7800',
    ),
    (
      {'train.early_steps': (9_000,)},
      'config.train.early_steps: 9000 .*at most train.num_steps = 7800',
    ),
    (
      {'train.profile_steps': (7_000, 9_000)},
      'config.train.profile_steps: 9000 .*at most train.num_steps = 7800',
    ),
    (
      {'train.early_until': 9_000},
      'config.train.early_until: 9000 .*at most train.num_steps = 7800',
    ),
    (
      {'train.subset_path': 'a.npy', 'train.subset_fraction': 0.7},
      "config.train.subset_path: 'a.npy' .*one of the two",
    ),
    (
      {'select.class_balanced': True, 'select.policies': ('rs2',)},
      "config.select.class_balanced: True .*'rs2'.*allowed: False",
    ),
    (
      {'retrain.num_steps': 78_001},
      'config.retrain.num_steps: 78001 .*at most train.schedule_steps = 78000',
    ),
    (
      {'select.scores': ('el2m@7800',)},
      "config.select.scores: 'el2m@7800' .* one of el2n, .*did you mean el2n",
    ),
    (
      {'train.augmentation': 'photo_crop_flip', 'dataset.crop_size': 24},
      "config.train.augmentation: 'photo_crop_flip' .*placement=stream",
    ),
    (
      {
        'train.augmentation': 'photo_crop_flip',
        'dataset.placement': 'stream',
      },
      "config.train.augmentation: 'photo_crop_flip' .*dataset.crop_size or",
    ),
    (
      {'model.options': {'depth': 3}},
      "'resnet18_lowres' has no option 'depth'; its options: none",
    ),
    (
      {'select.scores': ('entropy',)},
      "config.select.scores: 'entropy' .*score.names = el2n, ",
    ),
    (
      {'train.subset_fraction': 0.05},
      'config.train.subset_fraction: 0.05 with 10 runs ',
    ),
    (
      {'score.names': ('el2n', 'memorization')},
      "config.score.names: 'memorization' .*train.subset_fraction below 1",
    ),
    (
      {'score.names': ('el2n', 'tracin_self')},
      "config.score.names: 'tracin_self' .*with 'grand' in score.names",
    ),
    (
      {'score.names': ('el2n', 'grand_subset')},
      "config.score.grand_subset: '' .*a regular expression",
    ),
    (
      {'select.scores': ('el2n@390',)},
      "config.select.scores: 'el2n@390' .*score.steps = 7800",
    ),
    (
      {'select.policies': ('ccs:el2n@390',)},
      "config.select.scores: 'el2n@390' .*score.steps = 7800",
    ),
    (
      {'select.policies': ('keep_max', 'ccs:entropy')},
      "config.select.scores: 'entropy' .*score.names = el2n, ",
    ),
    (
      {'select.policies': ('random:el2n',)},
      "config.select.policies: 'random:el2n' .*no score; allowed: 'random'",
    ),
    (
      {
        'select.policies': ('keep_max:el2n',),
        'select.scores_path': 'mine.npy',
      },
      "'keep_max:el2n' .*reads select.scores_path; allowed: 'keep_max'",
    ),
    (
      {
        'score.names': ('el2n', 'variability'),
        'select.scores': ('variability',),
        'select.policies': ('keep_max', 'd2'),
      },
      "config.select.scores: 'variability', of which no end is hard, .*'d2'",
    ),
    (
      {
        'score.names': ('el2n', 'unclog'),
        'select.policies': ('infomax:unclog',),
      },
      "config.select.scores: 'unclog', of which .* the policy 'infomax'; all",
    ),
    (
      {'select.higher_is': 'harder'},
      "config.select.higher_is: 'harder' .*without select.scores_path, .*: ''$",
    ),
    (
      {'select.step': 390},
      'config.select.step: 390 .*score.steps = 7800, or -1 for the last',
    ),
    (
      {'select.options': {'offset': 5}},
      'config.select.options.offset .*none of the policies keep_max',
    ),
    (
      {'select.options': {'offset': -5}, 'select.policies': ('offset',)},
      "config.select.options: .*'offset'.* -5.*0 or more",
    ),
  ],
)
def test_settings_that_do_not_fit_together(changes, message):
  config = base.get_config()
  for name, value in changes.items():
    config = running.with_raw_value(config, name, value)
  with pytest.raises(ConfigError, match=message):
    config_lib.check(config)


def test_scores_without_a_hard_end_are_allowed_where_nobody_asks():
  config = base.get_config()
  config.score.names = ('el2n', 'unclog')
  config.select.scores = ('unclog',)
  config.select.policies = ('keep_max', 'ccs:el2n')
  config_lib.check(config)
  config.select.policies = ('keep_max:el2n',)
  config.select.budget = 'difficulty'
  config_lib.check(config)


def test_resolve_fills_in_what_is_chosen():
  config = base.get_config()
  config.train.schedule_steps = 0
  config.score.names = ('l2_error', 'el2n', 'grad_norm')
  config.select.scores = ('l2_error',)
  config.score.steps = (7_800, 0, 7_800)
  config_lib.check(config)
  resolved = config_lib.resolve(config)
  assert resolved.train.schedule_steps == 7_800
  assert resolved.score.names == ('el2n', 'grand')
  assert resolved.select.scores == ('el2n',)
  assert resolved.score.steps == (0, 7_800)
  assert resolved.select.step == 7_800
  assert resolved.retrain.num_steps == 7_800
  with pytest.raises(AttributeError):
    resolved.train.num_runs = 3


def test_resolve_turns_epochs_into_steps_once_the_data_is_known():
  config = base.get_config()
  config.train.num_epochs = 2
  config.train.schedule_steps = 0
  config_lib.check(config)
  waiting = config_lib.resolve(config)
  assert waiting.score.steps == ()
  resolved = config_lib.resolve(waiting, 390)
  assert resolved.train.num_steps == resolved.train.schedule_steps == 780
  assert resolved.score.steps == (780,)
  assert resolved.select.step == resolved.retrain.num_steps == 780
  config.score.steps = (800,)
  with pytest.raises(ConfigError, match='score.steps: 800 is never reached'):
    config_lib.resolve(config, 390)


def test_resolve_leaves_the_config_given_alone():
  config = base.get_config()
  before = config.to_dict()
  config_lib.resolve(config)
  assert config.to_dict() == before


def test_policies_with_scores_of_their_own_are_resolved():
  config = base.get_config()
  config.score.names = ('el2n', 'grand')
  config.select.policies = ('keep_min_scores:grad_norm', 'ccs:l2_error@7800')
  config_lib.check(config)
  select = config_lib.resolve(config).select
  assert select.policies == ('keep_min:grand', 'ccs:el2n@7800')
  assert select.policy_names == ('keep_min', 'ccs')
  assert select.all_scores == ('el2n', 'grand', 'el2n@7800')
