"""The checks of every setting, made before data is read or code compiled."""

import dataclasses
import difflib
import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ml_collections

from datadiet.data.augmentation import AUGMENTATIONS
from datadiet.data.order import enough_runs
from datadiet.errors import ConfigError, DataDietError
from datadiet.models import DTYPES, MODELS
from datadiet.scoring import registry
from datadiet.selection import POLICIES, check_policy
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

# Every field of configs/base.py, which a test holds to be the same.
FIELDS: dict[str, Check] = {
  'dataset.name': _NAME,
  'dataset.data_dir': _TEXT,
  'dataset.cache_dir': _TEXT,
  'dataset.label_key': _TEXT,
  'dataset.image_size': _integer(0, 'an integer of pixels, 0 to leave images'),
  'dataset.placement': _one_of(*PLACEMENTS),
  'model.name': _one_of(*MODELS),
  'model.width': _integer(0, 'an integer of channels, 0 for the usual number'),
  'model.dtype': _one_of(*DTYPES),
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
  'score.keep': _each(_one_of('features', 'pred_probs')),
  'select.scores': _each(_SCORE),
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


def check(config: ml_collections.ConfigDict) -> None:
  """Checks every field on its own and those that belong together.

  Raises:
    ConfigError: names the first wrong field, its value and what is allowed.
  """
  values = dict(flatten(config))
  for name in values:
    if name not in FIELDS:
      raise ConfigError(
        f'config.{name} is not a setting{closest(name, FIELDS)}'
      )
  for name, field in FIELDS.items():
    if name not in values:
      raise ConfigError(f'config.{name} is missing; allowed: {field.allowed}')
    if not field.accepts(values[name]):
      hint = ''
      if field.known:
        wrong = values[name]
        if isinstance(wrong, (tuple, list)):
          wrong = next((item for item in wrong if item not in field.known), '')
        hint = closest(str(wrong), field.known)
      raise ConfigError(
        f'config.{name}: {values[name]!r} is not allowed; allowed: '
        f'{field.allowed}{hint}'
      )
  _check_together(config)


def _check_together(config: ml_collections.ConfigDict) -> None:
  horizon = config.train.schedule_steps or config.train.num_steps
  if config.train.num_steps > horizon:
    raise ConfigError(
      f'config.train.num_steps: {config.train.num_steps} is beyond the '
      f'schedule; allowed: at most train.schedule_steps = {horizon}'
    )
  for name in ('score.steps', 'train.early_steps'):
    section, field = name.split('.')
    late = [s for s in config[section][field] if s > config.train.num_steps]
    if late:
      raise ConfigError(
        f'config.{name}: {late[0]} is never reached; allowed: at most '
        f'train.num_steps = {config.train.num_steps}'
      )
  if config.retrain.num_steps > horizon:
    raise ConfigError(
      f'config.retrain.num_steps: {config.retrain.num_steps} is beyond the '
      f'schedule; allowed: at most train.schedule_steps = {horizon}'
    )
  _check_scores(config)
  _check_selection(config)


def _check_scores(config: ml_collections.ConfigDict) -> None:
  """Scores that need other settings."""
  names = registry.resolve(config.score.names)
  fraction, num_runs = config.train.subset_fraction, config.train.num_runs
  if fraction < 1.0 and not enough_runs(num_runs, fraction):
    raise ConfigError(
      f'config.train.subset_fraction: {fraction} with {num_runs} runs cannot '
      'leave every example in and out of a run; allowed: train.num_runs times '
      'it from 1 to train.num_runs - 1, rounded up'
    )
  if registry.of_kind(names, registry.HELD_OUT) and fraction == 1.0:
    raise ConfigError(
      "config.score.names: 'memorization' needs runs that leave examples out; "
      'allowed: with train.subset_fraction below 1, such as 0.7'
    )
  if registry.of_kind(names, registry.TRAJECTORY) and 'grand' not in names:
    raise ConfigError(
      "config.score.names: 'tracin_self' is made of grand; allowed: with "
      "'grand' in score.names"
    )
  steps = tuple(config.score.steps) or (config.train.num_steps,)
  if registry.of_kind(names, registry.TRAJECTORY) and not any(steps):
    raise ConfigError(
      'config.score.steps: tracin_self needs steps of training; allowed: at '
      'least one step above 0'
    )
  if 'grand_subset' in names and not config.score.grand_subset:
    raise ConfigError(
      "config.score.grand_subset: '' is not allowed with the score "
      "'grand_subset'; allowed: a regular expression for paths of params, such "
      "as 'Dense'"
    )


def _check_selection(config: ml_collections.ConfigDict) -> None:
  scored = registry.resolve(config.score.names)
  for score in registry.resolve(config.select.scores):
    if score not in scored:
      raise ConfigError(
        f'config.select.scores: {score!r} is not computed; allowed: one of '
        f'score.names = {", ".join(scored)}'
      )
  steps = tuple(config.score.steps) or (config.train.num_steps,)
  if config.select.step >= 0 and config.select.step not in steps:
    raise ConfigError(
      f'config.select.step: {config.select.step} is not scored; allowed: one '
      f'of score.steps = {", ".join(map(str, steps))}, or -1 for the last'
    )
  for policy in config.select.policies:
    needs = POLICIES[POLICY_ALIASES.get(policy, policy)].needs
    if 'features' in needs and 'features' not in config.score.keep:
      raise ConfigError(
        f'config.score.keep: {tuple(config.score.keep)!r} is not allowed with '
        f"the policy {policy!r}; allowed: with 'features'"
      )
    if 'mean_confidence' in needs and 'mean_confidence' not in scored:
      raise ConfigError(
        f'config.score.names: the policy {policy!r} needs mean_confidence; '
        'allowed: with it in score.names'
      )
  options = config.select.options.to_dict()
  for policy in config.select.policies:
    try:
      own = policy_options(policy, options)
      _, _ = check_policy(policy, own)
    except DataDietError as error:
      raise ConfigError(f'config.select.options: {error}') from error
  used = {
    name
    for policy in config.select.policies
    for name in policy_options(policy, options)
  }
  unused = sorted(set(options) - used)
  if unused:
    raise ConfigError(
      f'config.select.options.{unused[0]} is an option of none of the '
      f'policies {", ".join(config.select.policies)}'
    )


def policy_options(policy: str, options: Mapping[str, Any]) -> dict[str, Any]:
  """The options among `config.select.options` that a policy has."""
  known = POLICIES[POLICY_ALIASES.get(policy, policy)].options
  return {name: value for name, value in options.items() if name in known}


def resolve(config: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
  """A frozen copy with names resolved and chosen values filled in.

  Does not touch what depends on the devices, so that a workdir may move.
  """
  config = ml_collections.ConfigDict(config.to_dict())
  config.train.schedule_steps = (
    config.train.schedule_steps or config.train.num_steps
  )
  config.score.names = registry.resolve(config.score.names)
  steps = tuple(config.score.steps) or (config.train.num_steps,)
  config.score.steps = tuple(sorted(set(steps)))
  config.select.scores = registry.resolve(config.select.scores)
  config.select.policies = tuple(
    POLICY_ALIASES.get(name, name) for name in config.select.policies
  )
  if config.select.step < 0:
    config.select.step = config.score.steps[-1]
  config.retrain.num_steps = (
    config.retrain.num_steps or config.train.schedule_steps
  )
  return ml_collections.FrozenConfigDict(config)
