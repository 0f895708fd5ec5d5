"""Every setting, and what it may be on its own."""

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ml_collections

from datadiet.data.label_arrays import ORDERS
from datadiet.data.label_columns import READINGS
from datadiet.data.labels import NOISES
from datadiet.feeding.augmentation import AUGMENTATIONS
from datadiet.models import ALIASES as MODEL_ALIASES
from datadiet.models import DTYPES, MODELS
from datadiet.scoring import registry
from datadiet.selection import POLICIES
from datadiet.selection.policies import ALIASES as POLICY_ALIASES
from datadiet.training.optimizer import OPTIMIZERS, SCHEDULES

BASELINES = ('random', 'random_balanced')
PLACEMENTS = ('auto', 'device', 'host')


@dataclasses.dataclass(frozen=True)
class Check:
  """What one field may be.

  Attributes:
    accepts: whether a value is allowed.
    allowed: the same in words, after "allowed: ".
    known: names that a misspelt value may have been meant for.
  """

  accepts: Callable[[Any], bool]
  allowed: str
  known: tuple[str, ...] = ()


def _is_integer(value: Any) -> bool:
  return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
  return isinstance(value, (int, float)) and not isinstance(value, bool)


def _integer(minimum: int, words: str = '') -> Check:
  # Steps and seeds are 32-bit numbers on the devices.
  maximum = 2**31 - 1
  return Check(
    lambda value: _is_integer(value) and minimum <= value <= maximum,
    words or f'an integer from {minimum} to {maximum}',
  )


def _number(low: float, high: float, words: str, open_low=False) -> Check:
  return Check(
    lambda value: (
      _is_number(value)
      and math.isfinite(value)
      and (low < value if open_low else low <= value)
      and value <= high
    ),
    words,
  )


def _one_of(*names: str) -> Check:
  return Check(
    lambda value: isinstance(value, str) and value in names,
    'one of ' + ', '.join(names),
    tuple(names),
  )


def _each(check: Check, at_least_one: bool = False) -> Check:
  words = 'a tuple, not empty, ' if at_least_one else 'a tuple, '
  return Check(
    lambda value: (
      isinstance(value, (tuple, list))
      and all(check.accepts(item) for item in value)
      and (len(value) > 0 or not at_least_one)
    ),
    f'{words}each item {check.allowed}',
    check.known,
  )


_TEXT = Check(lambda value: isinstance(value, str), 'a text')
_NAME = Check(
  lambda value: isinstance(value, str) and bool(value), 'a text, not empty'
)
_BOOLEAN = Check(lambda value: isinstance(value, bool), 'True or False')
_FRACTION = _number(0.0, 1.0, 'a number in (0, 1]', open_low=True)
_SHARE = _number(0.0, 1.0, 'a number in [0, 1]')
_POSITIVE = _number(0.0, float('inf'), 'a number above 0', open_low=True)
_NOT_NEGATIVE = _number(0.0, float('inf'), 'a number of at least 0')
_SCORE = _one_of(*registry.SCORES, *registry.ALIASES)


def _is_pattern(value: Any) -> bool:
  try:
    return isinstance(value, str) and bool(re.compile(value) or True)
  except re.error:
    return False


_PATTERN = Check(_is_pattern, 'a regular expression')

_BACKGROUND = Check(
  lambda value: (
    isinstance(value, str)
    and bool(re.fullmatch('white|black|#[0-9a-fA-F]{6}', value))
  ),
  "'white', 'black' or a colour as '#rrggbb'",
  ('white', 'black'),
)

# Every field of configs/base.py, which a test holds to be the same.
FIELDS: dict[str, Check] = {
  'dataset.name': _NAME,
  'dataset.data_dir': _TEXT,
  'dataset.cache_dir': _TEXT,
  'dataset.label_key': _TEXT,
  'dataset.id_key': _TEXT,
  'dataset.image_size': _integer(0, 'an integer of pixels, 0 to leave images'),
  'dataset.placement': _one_of(*PLACEMENTS),
  'dataset.train_splits': _each(_NAME),
  'dataset.test_split': _TEXT,
  'dataset.test_fraction': _number(
    0.001, 0.999, 'a number from 0.001 to 0.999'
  ),
  'dataset.skip_unreadable': _BOOLEAN,
  'dataset.background': _BACKGROUND,
  'dataset.labels_path': _TEXT,
  'dataset.labels_are': _one_of(*READINGS),
  'dataset.labels_order': _one_of(*ORDERS),
  'dataset.label_noise.fraction': _SHARE,
  'dataset.label_noise.seed': _integer(0),
  'dataset.label_noise.kind': _one_of(*NOISES),
  'model.name': _one_of(*MODELS, *MODEL_ALIASES),
  'model.width': Check(
    lambda value: _is_integer(value) and 0 <= value <= 4096,
    'an integer of channels up to 4096, 0 for the usual number',
  ),
  'model.dtype': _one_of('auto', *DTYPES),
  'optimizer.name': _one_of(*OPTIMIZERS),
  'optimizer.learning_rate': _POSITIVE,
  'optimizer.momentum': _number(0.0, 1.0, 'a number in [0, 1]'),
  'optimizer.nesterov': _BOOLEAN,
  'optimizer.weight_decay': _NOT_NEGATIVE,
  'optimizer.schedule': _one_of(*SCHEDULES),
  'optimizer.decay_fractions': _each(_FRACTION),
  'optimizer.decay_factor': _POSITIVE,
  'optimizer.warmup_fraction': _SHARE,
  'train.num_runs': _integer(1),
  'train.num_steps': _integer(1),
  'train.num_epochs': _integer(0, 'an integer of epochs, 0 for num_steps'),
  'train.schedule_steps': _integer(0, 'an integer of steps, 0 for num_steps'),
  'train.batch_size': _integer(1),
  'train.eval_batch_size': _integer(1),
  'train.augmentation': _one_of(*AUGMENTATIONS),
  'train.crop_padding': _integer(0),
  'train.model_seed': _integer(0),
  'train.data_seed': _integer(0),
  'train.log_every_steps': _integer(1),
  'train.eval_every_steps': _integer(1),
  'train.checkpoint_every_steps': _integer(1),
  'train.early_steps': _each(_integer(0)),
  'train.early_every': _integer(0, 'an integer of steps, 0 for none'),
  'train.early_until': _integer(0, 'an integer of steps, 0 for the last'),
  'train.init_from': _TEXT,
  'train.subset_path': _TEXT,
  'train.subset_fraction': _FRACTION,
  'train.dynamics_window': _integer(2),
  'train.runs_at_once': _integer(0),
  'train.steps_per_call': _integer(0),
  'score.names': _each(_SCORE, at_least_one=True),
  'score.steps': _each(_integer(0)),
  'score.batch_size': _integer(1),
  'score.gradient_batch_size': _integer(0, 'a number of images, 0 to fit'),
  'score.gradient_runs': _integer(0, 'an integer of runs, 0 for all'),
  'score.grand_subset': _PATTERN,
  'score.per_layer': _BOOLEAN,
  'score.unclog_sample_size': _integer(1),
  'score.unclog_seed': _integer(0),
  'score.dtype': _one_of(*registry.PRECISIONS),
  'score.keep': _each(_one_of('features', 'pred_probs')),
  'audit.threshold_samples': _BOOLEAN,
  'select.scores': _each(
    Check(
      lambda value: (
        isinstance(value, str)
        and bool(match := re.fullmatch(r'(\w+)(@\d+)?', value))
        and _SCORE.accepts(match[1])
      ),
      f'{_SCORE.allowed}, or one with its step such as el2n@7800',
      _SCORE.known,
    )
  ),
  'select.scores_path': _TEXT,
  'select.higher_is': _one_of('harder', 'easier', ''),
  'select.policies': _each(_one_of(*POLICIES, *POLICY_ALIASES)),
  'select.fractions': _each(_FRACTION),
  'select.sizes': _each(_integer(1)),
  'select.step': _integer(-1, 'a scored step, or -1 for the last'),
  'select.class_balanced': _BOOLEAN,
  'select.options': Check(
    lambda value: isinstance(value, ml_collections.ConfigDict),
    'a ConfigDict of options of the policies',
  ),
  'select.baselines': _each(_one_of(*BASELINES)),
  'select.seed': _integer(0),
  'retrain.num_runs': _integer(1),
  'retrain.num_steps': _integer(0, 'an integer of steps, 0 for the horizon'),
  'retrain.full': _BOOLEAN,
  'retrain.first_run': _integer(0),
  'sweep': Check(
    lambda value: isinstance(value, ml_collections.ConfigDict),
    'a ConfigDict of settings, each with a tuple of values',
  ),
  'compilation_cache_dir': _TEXT,
}


def flatten(config: Mapping[str, Any], prefix: str = '') -> Iterator[tuple]:
  """Pairs of dotted field name and value; `select.options` stays whole."""
  for key, value in config.items():
    name = f'{prefix}{key}'
    if isinstance(value, Mapping | ml_collections.ConfigDict) and (
      name not in FIELDS
    ):
      yield from flatten(value, f'{name}.')
    else:
      yield name, value


def closest(name: str, known) -> str:
  """'; did you mean X?' for the known name most like `name`, or ''."""
  match = difflib.get_close_matches(name, list(known), 1, 0.5)
  return f'; did you mean {match[0]}?' if match else ''
