"""Settings that belong together: what one allows depends on another."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from datadiet.config.sections import Config
from datadiet.config.selected_scores import (
  check_are_computed,
  check_are_known,
)
from datadiet.data.settings import STREAM
from datadiet.errors import ConfigError, DataDietError
from datadiet.feeding.augmentation import PHOTO_CROP_FLIP
from datadiet.feeding.order import enough_runs
from datadiet.models import model_options
from datadiet.scoring import registry
from datadiet.scoring.loss_trajectories import MIN_STEPS
from datadiet.selection import POLICIES, check_policy
from datadiet.selection.budgets import BALANCED, DIFFICULTY
from datadiet.settings import check_options
from datadiet.training.optimizer import check_schedule
from datadiet.workdir.tables import STAGES


def check_together(config: Config, stages: Collection[str] = STAGES) -> None:
  """Checks settings against each other.

  Args:
    config: the settings, each checked on its own.
    stages: that are asked for; what only others use may be wrong.

  Raises:
    ConfigError: names the first wrong field, its value and what is allowed.
  """
  if not config.train.num_epochs:
    check_steps(config, stages)
  for rule, of_stages in _RULES:
    if {*of_stages} & {*stages}:
      rule(config)


def check_steps(config: Config, stages: Collection[str] = STAGES) -> None:
  """Checks the settings that count optimizer steps; as `check_together`."""
  for rule, of_stages in _STEP_RULES:
    if {*of_stages} & {*stages}:
      rule(config)


def _check_steps_of_networks(config: Config) -> None:
  horizon = config.train.schedule_steps or config.train.num_steps
  if config.train.num_steps > horizon:
    raise ConfigError(
      f'config.train.num_steps: {config.train.num_steps} is beyond the '
      f'schedule; allowed: at most train.schedule_steps = {horizon}'
    )
  for name, steps in (
    ('score.steps', config.score.steps),
    ('train.early_steps', config.train.early_steps),
    ('train.early_until', (config.train.early_until,)),
    ('train.profile_steps', config.train.profile_steps),
  ):
    late = [step for step in steps if step > config.train.num_steps]
    if late:
      raise ConfigError(
        f'config.{name}: {late[0]} is never reached; allowed: at most '
        f'train.num_steps = {config.train.num_steps}'
      )


def _check_steps_of_retraining(config: Config) -> None:
  horizon = config.train.schedule_steps or config.train.num_steps
  if config.retrain.num_steps > horizon:
    raise ConfigError(
      f'config.retrain.num_steps: {config.retrain.num_steps} is beyond the '
      f'schedule; allowed: at most train.schedule_steps = {horizon}'
    )


def _check_steps_of_selection(config: Config) -> None:
  steps = tuple(config.score.steps) or (config.train.num_steps,)
  if config.select.step >= 0 and config.select.step not in steps:
    raise ConfigError(
      f'config.select.step: {config.select.step} is not scored; allowed: one '
      f'of score.steps = {", ".join(map(str, steps))}, or -1 for the last'
    )
  for selected in config.select.all_scores:
    _, step = registry.split_step(selected)
    if step is not None and step not in steps:
      raise ConfigError(
        f'config.select.scores: {selected!r} is not scored at that step; '
        f'allowed: one of score.steps = {", ".join(map(str, steps))}'
      )


def _check_left_out(config: Config) -> None:
  """Checks the settings that say which examples a run does not train on."""
  train = config.train
  if train.subset_path and train.subset_fraction < 1.0:
    raise ConfigError(
      f'config.train.subset_path: {train.subset_path!r} is not allowed with '
      'train.subset_fraction below 1; allowed: one of the two'
    )
  if train.folds and (train.subset_path or train.subset_fraction < 1.0):
    other = 'subset_path' if train.subset_path else 'subset_fraction below 1'
    raise ConfigError(
      f'config.train.folds: {train.folds} is not allowed with train.{other}; '
      'allowed: one of the two'
    )
  if train.folds and train.num_runs % train.folds:
    raise ConfigError(
      f'config.train.num_runs: {train.num_runs} is not allowed with '
      f'train.folds={train.folds}; allowed: a multiple, such as {train.folds}, '
      'or train.folds=0'
    )
  fraction, num_runs = train.subset_fraction, train.num_runs
  if fraction < 1.0 and not enough_runs(num_runs, fraction):
    raise ConfigError(
      f'config.train.subset_fraction: {fraction} with {num_runs} runs cannot '
      'leave every example in and out of a run; allowed: train.num_runs times '
      'it from 1 to train.num_runs - 1, rounded up'
    )


def _check_model(config: Config) -> None:
  name = config.model.name
  try:
    check_options(f'model {name!r}', config.model.options, model_options(name))
  except DataDietError as error:
    raise ConfigError(f'config.model.options: {error}') from error


def _check_weights(config: Config) -> None:
  if config.model.weights and config.train.init_from:
    raise ConfigError(
      f'config.train.init_from: {config.train.init_from!r} is not allowed with '
      'model.weights; allowed: one of the two'
    )


def _check_photo_crops(config: Config) -> None:
  data, name = config.dataset, config.train.augmentation
  has_size = data.crop_size or data.image_size
  if name == PHOTO_CROP_FLIP and not (data.placement == STREAM and has_size):
    raise ConfigError(
      f'config.train.augmentation: {name!r} cuts squares out of encoded files; '
      f'allowed: with dataset.placement={STREAM} and dataset.crop_size or '
      "dataset.image_size, or 'resized_crop_flip'"
    )


def _check_schedule(config: Config) -> None:
  schedule, warmup = config.optimizer.schedule, config.optimizer.warmup_fraction
  if schedule in ('linear', 'cosine') and warmup == 1.0:
    raise ConfigError(
      f'config.optimizer.warmup_fraction: {warmup} is not allowed with the '
      f'schedule {schedule!r}, which would never fall; allowed: below 1'
    )
  try:
    check_schedule(config.optimizer)
  except DataDietError as error:
    raise ConfigError(f'config.optimizer.options: {error}') from error


def _check_scores(config: Config) -> None:
  """Checks the settings that scores need."""
  names = config.score.names
  leaves_out = config.train.leaves_out
  if leaves_out and not registry.of_kind(names, registry.FORWARD):
    setting = 'folds' if config.train.folds else 'subset_fraction below 1'
    raise ConfigError(
      f'config.score.names: {names} is not allowed with train.{setting}, which '
      'is there to predict the examples left out; allowed: with a score of a '
      "forward pass, such as 'el2n'"
    )
  if registry.of_kind(names, registry.HELD_OUT) and not leaves_out:
    raise ConfigError(
      "config.score.names: 'memorization' needs runs that leave examples out; "
      'allowed: with train.subset_fraction below 1, such as 0.7, or train.folds'
    )
  for name in registry.of_kind(names, registry.TRAJECTORY):
    made_of = registry.SCORES[name].made_of
    if made_of not in names:
      raise ConfigError(
        f'config.score.names: {name!r} is made of {made_of}; allowed: with '
        f'{made_of!r} in score.names'
      )
  steps = tuple(config.score.steps) or (config.train.num_steps,)
  if 'cld' in names and (not leaves_out or len({*steps}) < MIN_STEPS):
    raise ConfigError(
      "config.score.names: 'cld' compares losses with those of examples that a "
      'run left out; allowed: with train.folds, or train.subset_fraction below '
      f'1, and at least {MIN_STEPS} score.steps'
    )
  if 'tracin_self' in names and not any(steps):
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


def _check_selection(config: Config) -> None:
  scored = config.score.names
  check_are_computed(config)
  for policy in config.select.policy_names:
    needs = POLICIES[policy].needs
    if 'mean_confidence' in needs and 'mean_confidence' not in scored:
      raise ConfigError(
        f'config.score.names: the policy {policy!r} needs mean_confidence; '
        'allowed: with it in score.names'
      )
    changes = POLICIES[policy].epochs
    if changes and config.select.class_budget:
      name, value, allowed = 'class_balanced', 'True', 'False'
      if config.select.budget:
        name, value, allowed = 'budget', repr(config.select.budget), "''"
      raise ConfigError(
        f'config.select.{name}: {value} is not allowed with the policy '
        f'{policy!r}, which draws from all classes; allowed: {allowed}'
      )
  _check_own_scores(config)
  _check_embeddings(config)
  _check_budget(config)
  _check_hard_end(config)
  options = config.select.options
  for policy in config.select.policy_names:
    try:
      own = policy_options(policy, options)
      _, _ = check_policy(policy, own)
    except DataDietError as error:
      raise ConfigError(f'config.select.options: {error}') from error
  used = {
    name
    for policy in config.select.policy_names
    for name in policy_options(policy, options)
  }
  unused = sorted(set(options) - used)
  if unused:
    raise ConfigError(
      f'config.select.options.{unused[0]} is an option of none of the '
      f'policies {", ".join(config.select.policies)}'
    )


def _check_own_scores(config: Config) -> None:
  """Refuses scores of their own for policies that would not read them."""
  select = config.select
  for policy, score in select.methods:
    if score is None:
      continue
    reads = 'scores' in POLICIES[policy].needs or select.budget == DIFFICULTY
    if not reads or select.scores_path:
      reason = 'reads no score' if not reads else 'reads select.scores_path'
      raise ConfigError(
        f'config.select.policies: {f"{policy}:{score}"!r} is not allowed, as '
        f'it {reason}; allowed: {policy!r}'
      )


def _check_budget(config: Config) -> None:
  """Refuses a budget that cannot be told."""
  select = config.select
  if select.class_balanced and select.budget not in ('', BALANCED):
    raise ConfigError(
      f'config.select.budget: {select.budget!r} is not allowed with '
      "select.class_balanced; allowed: '' and 'balanced'"
    )


def _check_hard_end(config: Config) -> None:
  """Refuses scores of which no end is hard where a subset depends on it.

  What scores from a file mean is known once it is read.
  """
  select = config.select
  if select.scores_path:
    return
  if select.higher_is:
    raise ConfigError(
      f'config.select.higher_is: {select.higher_is!r} is not allowed without '
      "select.scores_path, as it is known of the project's own scores; "
      "allowed: ''"
    )
  for reason, own in select.ask_what_is_hard:
    for selected in select.scores if own is None else (own,):
      name, _ = registry.split_step(selected)
      if registry.get(name).higher_is == 'neither':
        raise ConfigError(
          f'config.select.scores: {selected!r}, of which no end is hard, is '
          f'not allowed with {reason}; allowed: other scores'
        )


def _check_embeddings(config: Config) -> None:
  """Refuses embeddings that no policy looks at."""
  select = config.select
  policies = [POLICIES[policy] for policy in select.policy_names]
  if select.embeddings and not any(one.embeddings for one in policies):
    raise ConfigError(
      f'config.select.embeddings: {select.embeddings!r} is not allowed with '
      f'the policies {", ".join(select.policies)}, of which none can choose '
      "what it looks at; allowed: ''"
    )
  if select.embeddings_path and not any(
    'features' in one.arrays(select.embeddings) for one in policies
  ):
    raise ConfigError(
      f'config.select.embeddings_path: {select.embeddings_path!r} is not '
      f'allowed with the policies {", ".join(select.policies)}, of which none '
      "looks at features; allowed: ''"
    )


def policy_options(policy: str, options: Mapping[str, Any]) -> dict[str, Any]:
  """The options among `config.select.options` that a policy has."""
  known = POLICIES[policy].options
  return {name: value for name, value in options.items() if name in known}


# The rules, in the order that they are checked, and the stages that use what
# they are about. What networks were trained with never changes afterwards.
_Rules = tuple[tuple[Callable[[Config], None], tuple[str, ...]], ...]
_NETWORKS, _SUBSETS = ('train', 'score'), ('select', 'retrain')
_STEP_RULES: _Rules = (
  (_check_steps_of_networks, _NETWORKS),
  (_check_steps_of_retraining, ('retrain',)),
  (_check_steps_of_selection, _SUBSETS),
)
_RULES: _Rules = (
  (_check_left_out, STAGES),
  (_check_model, (*_NETWORKS, 'retrain')),
  (_check_weights, (*_NETWORKS, 'retrain')),
  (_check_photo_crops, ('train', 'retrain')),
  (_check_schedule, (*_NETWORKS, 'retrain')),
  (_check_scores, _NETWORKS),
  (check_are_known, STAGES),
  (_check_selection, _SUBSETS),
)
