"""Which scores are due for which run and step, made with which settings."""

from collections.abc import Sequence
from typing import Any

from datadiet import config as config_lib
from datadiet.config import Config
from datadiet.errors import ConfigError
from datadiet.models.settings import make_network
from datadiet.scoring import features, registry
from datadiet.scoring.gradient import LAYERS, leaf_names, subset_paths
from datadiet.selection.budgets import WORST_CLASS
from datadiet.stages.context import Context
from datadiet.stages.selections import PlannedSelection, network_arrays
from datadiet.training.initial import read_checkpoint
from datadiet.training.settings import IN_SAMPLE, OUT_OF_SAMPLE
from datadiet.training.state import variable_shapes
from datadiet.training.trainable import ALL, is_trained
from datadiet.workdir import top_probs

# What predictions of one network at one step may take on disk to be kept whole.
_MAX_PRED_PROBS_BYTES = 2**28


def scores_of(context: Context, run: int, step: int) -> tuple[str, ...]:
  """The scores asked for that are computed from a single network."""
  config = context.config
  names = registry.of_kind(
    config.score.names,
    registry.FORWARD,
    registry.GRADIENT,
    registry.DATA,
    registry.DYNAMICS,
  )
  left_out = set()
  if run >= context.num_gradient_runs:
    left_out |= {*registry.of_kind(names, registry.GRADIENT)}
  epochs = step // context.steps_per_epoch
  if config.train.subset_path:
    # The dynamics of examples outside are not known in any run.
    left_out |= {*registry.of_kind(names, registry.DYNAMICS)}
  if epochs < 1:
    # Before the end of the first epoch most examples were never trained on.
    left_out |= {*registry.of_kind(names, registry.DYNAMICS)}
  if epochs < config.train.dynamics_window:
    left_out |= {*registry.needing(names, registry.WINDOWS)}
  return tuple(name for name in names if name not in left_out)


def runs_of(context: Context, name: str, step: int) -> list[int]:
  """The runs that have a score of one network at a step."""
  return [run for run in context.runs if name in scores_of(context, run, step)]


def runs_of_mean(context: Context, name: str, step: int) -> list[int]:
  """The runs that a score over runs is made of at a step.

  None where it is not defined: one of all scored steps stands at the last.
  """
  score = registry.get(name)
  if score.kind == registry.HELD_OUT and not score.made_of:
    return [*context.runs]
  is_last = step == context.config.score.steps[-1]
  if score.kind == registry.TRAJECTORY and not is_last:
    return []
  return runs_of(context, score.made_of or name, step)


def steps_of(config: Config, name: str) -> list[int]:
  """The scored steps that a score of several is made of.

  tracin_self takes those that an update led to.
  """
  steps = config.score.steps
  return [step for step in steps if step > 0 or name != 'tracin_self']


def extra_arrays(context: Context) -> tuple[str, ...]:
  """The arrays that a forward pass stores in addition to scores.

  Predictions are for the label audit, and for budgets by class: whole where
  they are small, else the most probable classes of each example. Policies look
  at whole ones and at features.
  """
  config = context.config
  names = {*config.score.keep, *network_arrays(config.select)}
  if top_probs.WHOLE not in names and (
    config.train.leaves_out
    or config.select.budget == WORST_CLASS
    or registry.of_kind(config.score.names, registry.FORWARD)
  ):
    names |= {*top_probs.TOP_ARRAYS} if _are_many(context) else {'pred_probs'}
  return tuple(sorted(names))


def _pred_probs_bytes(context: Context) -> int:
  return 4 * context.num_examples * context.dataset.num_classes


def _are_many(context: Context) -> bool:
  """Whether whole predictions of a run are too many to be kept unasked."""
  is_less = top_probs.is_less_than_whole(context.dataset.num_classes)
  return is_less and _pred_probs_bytes(context) > _MAX_PRED_PROBS_BYTES


def settings_of(config: Config, name: str) -> dict[str, Any]:
  """The settings that a network's score depends on, besides those of training.

  A score that was made with other settings is computed again.
  """
  values = dict(config_lib.flatten(config))
  depends_on = registry.get(name).depends_on
  return {key: values[setting] for key, setting in depends_on.items()}


def is_out_of_sample(config: Config, name: str) -> bool:
  """Whether a score is of runs that did not train on the example.

  With folds, or imported predictions of such networks alone, those of a forward
  pass; else those that are named so. Others are about training on it.
  """
  train, score = config.train, registry.get(name)
  if score.kind == registry.HELD_OUT:
    return bool(score.made_of)
  are_unseen = train.folds > 0 or train.imported == OUT_OF_SAMPLE
  return are_unseen and score.kind == registry.FORWARD


def statement(config: Config, name: str) -> dict[str, Any]:
  """Everything that must be known to compare a score with another one.

  Args:
    config: of `config.resolve`.
    name: of the score.
  """
  score = registry.get(name)
  stated = {**score.statement(), **settings_of(config, name)}
  if score.kind == registry.DYNAMICS:
    stated['augmentation'] = config.train.augmentation != 'none'
  if config.train.imported:  # How they were made is not known here.
    is_unseen = is_out_of_sample(config, name)
    stated['imported'] = OUT_OF_SAMPLE if is_unseen else IN_SAMPLE
    stated['mode'] = None
    stated['augmentation'] = None
  return stated


def missing(context: Context, run: int, step: int) -> tuple[str, ...]:
  """The scores of one network that are still to be computed.

  Includes scores made with other settings or by another definition, and all
  scores of the gradient pass if norms by layer are asked for and missing.

  Raises:
    DataDietError: if the folder's scores are of other data.
  """
  folder, config = context.workdir.scores(run, step), context.config
  due = scores_of(context, run, step)
  stated = (context.manifest(folder) or {}).get('scores', {})
  gradient_names = registry.of_kind(due, registry.GRADIENT)
  lacks_layers = config.score.per_layer and not _exists(folder, LAYERS)
  return tuple(
    name
    for name in due
    if name not in stated
    or not _exists(folder, name)
    or (lacks_layers and name in gradient_names)
    or any(
      stated[name].get(key) != value
      for key, value in {
        'definition': registry.SCORES[name].definition,
        **settings_of(config, name),
      }.items()
    )
  )


def lacks_extra_arrays(context: Context, run: int, step: int) -> bool:
  """Whether an array that a forward pass stores beside scores is missing."""
  names = extra_arrays(context)
  folder = context.workdir.scores(run, step)
  if names and not context.manifest(folder):
    return True
  # Whole predictions of an earlier start say more than the most probable.
  has_whole = _exists(folder, top_probs.WHOLE)
  return not all(
    _exists(folder, name) or (has_whole and name in top_probs.TOP_ARRAYS)
    for name in names
  )


def _exists(folder, name: str) -> bool:
  return (folder / f'{name}.npy').exists()


def check_due(context: Context, stages: Sequence[str]) -> None:
  """Checks, before anything is trained, that what is asked for is possible.

  Args:
    context: of the start.
    stages: the stages to run; only their needs are checked.

  Raises:
    ConfigError: if a score to select by is not defined at its step, the model
      sows no features that are needed, a policy needs predictions that are
      too many, or train.trainable or grand_subset match no parameters.
    DataDietError: if train.init_from is no checkpoint of the network.
  """
  if {'train', 'score', 'retrain'} & {*stages}:
    _check_trainable(context)
  path = context.config.train.init_from
  if path and {'train', 'audit', 'retrain'} & {*stages}:
    read_checkpoint(path, network_shapes(context))
  if {'train', 'score'} & {*stages}:
    _check_features(context)
    _check_grand_subset(context)
  if {'score', 'select'} & {*stages}:
    _check_whole_predictions(context)
  if {'select', 'retrain'} & {*stages}:
    _check_selected(context)


def scores_read(context: Context, selection: PlannedSelection) -> list[str]:
  """The scores over runs that a selection reads, at its `read_step`."""
  names = []
  if selection.score is not None and context.score_file is None:
    names.append(selection.score)
  if 'mean_confidence' in selection.needs:
    names.append('mean_confidence')
  return names


def _check_selected(context: Context) -> None:
  """Refuses selecting by scores that are not defined at their steps."""
  config = context.config
  for selection in context.selections:
    step = selection.read_step
    for name in scores_read(context, selection):
      if runs_of_mean(context, name, step):
        continue
      what = f'scores: {name!r}'
      if name != selection.score:
        what = f'policies: {selection.policy!r} reads {name}, which'
      raise ConfigError(
        f'config.select.{what} is not defined at step {step}; allowed: scores '
        'of networks, of dynamics from the first epoch on '
        f'({context.steps_per_epoch} steps), of windows from '
        f'train.dynamics_window = {config.train.dynamics_window} epochs on, '
        'none of dynamics with train.subset_path, and of several steps at '
        f'{config.score.steps[-1]}, the last of score.steps'
      )


def _check_whole_predictions(context: Context) -> None:
  """Refuses policies that look at predictions too many to be kept whole."""
  if top_probs.WHOLE in context.config.score.keep or not _are_many(context):
    return
  for one in context.selections:
    folder = context.workdir.scores(0, one.read_step)
    if top_probs.WHOLE in one.needs and not _exists(folder, top_probs.WHOLE):
      raise ConfigError(
        f'config.select.policies: {one.policy!r} looks at the predictions of '
        f'all classes, which take {_pred_probs_bytes(context) / 1e9:.2g} GB a '
        f'run, more than the {_MAX_PRED_PROBS_BYTES / 1e9:.2g} GB up to which '
        'they are kept; allowed: another policy, or score.keep=pred_probs to '
        'keep them all the same'
      )


def _check_trainable(context: Context) -> None:
  """Refuses a `train.trainable` that matches no parameter."""
  trainable = context.config.train.trainable
  if trainable == ALL:
    return
  names = leaf_names(network_shapes(context)['params'])
  if not any(map(is_trained(trainable), names)):
    raise ConfigError(
      f'config.train.trainable: {trainable!r} is found in no path; allowed: '
      f"'all', 'head', or what is found in one of {', '.join(names)}"
    )


def _check_grand_subset(context: Context) -> None:
  """Refuses a pattern that matches the path of no parameter."""
  config = context.config
  if 'grand_subset' not in config.score.names:
    return
  names = [
    *filter(
      is_trained(config.train.trainable),
      leaf_names(network_shapes(context)['params']),
    )
  ]
  if not subset_paths(names, config.score.grand_subset):
    raise ConfigError(
      f'config.score.grand_subset: {config.score.grand_subset!r} is found in '
      f'no path; allowed: what is found in one of {", ".join(names)}'
    )


def _check_features(context: Context) -> None:
  """Refuses, before anything is trained, features that the model does not sow.

  Raises:
    ConfigError: if they are needed and the model sows none.
  """
  config = context.config
  needed_by = [
    f'score.names={name}'
    for name in registry.needing(config.score.names, registry.FEATURES)
  ]
  if registry.FEATURES in config.score.keep:
    needed_by.append('score.keep=features')
  elif registry.FEATURES in network_arrays(config.select):
    needed_by.append('select.policies')
  if not needed_by:
    return
  dataset = context.dataset
  network = make_network(config.model, dataset.num_classes)
  if not features.sows_features(network, dataset.input_shape):
    raise ConfigError(
      f'config.model.name: {config.model.name!r} sows no features, which '
      f'{" and ".join(needed_by)} need; allowed: a model that does, as all of '
      f"datadiet's own do, by {features.HOW}"
    )


def network_shapes(context: Context) -> dict:
  """Shapes of {'params': ..., 'batch_stats': ...}; computes nothing."""
  dataset = context.dataset
  model = make_network(context.config.model, dataset.num_classes)
  return variable_shapes(model, dataset.input_shape)
