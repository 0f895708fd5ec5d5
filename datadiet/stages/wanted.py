"""Which scores are due for which run and step, and which are not done."""

import jax
import numpy as np

from datadiet.errors import ConfigError
from datadiet.models import MODELS, make_model
from datadiet.scoring import features, registry
from datadiet.scoring.gradient import LAYERS, leaf_names, subset_paths
from datadiet.stages import subset
from datadiet.stages.context import Context
from datadiet.stages.statement import parameters
from datadiet.training.state import init_variables
from datadiet.workdir import artifacts

# What in-sample predictions of one network at one step may take on disk.
_MAX_PRED_PROBS_BYTES = 2**28


def trained_on(context: Context) -> np.ndarray | None:
  """bool[num_runs, N]: which run trains on which example; None if all do."""
  return subset.trained_on(context.config, context.dataset.train.num_examples)


def held_out(context: Context) -> np.ndarray | None:
  """As `trained_on`, where every example is in and out of a run; or None."""
  if context.config.train.subset_fraction == 1.0:
    return None
  return trained_on(context)


def scores_of(context: Context, run: int, step: int) -> tuple[str, ...]:
  """The scores of one network, those of several steps or runs left out."""
  config = context.config
  names = registry.of_kind(
    config.score.names,
    registry.FORWARD,
    registry.GRADIENT,
    registry.DATA,
    registry.DYNAMICS,
  )
  left_out = set()
  if config.score.gradient_runs and run >= config.score.gradient_runs:
    left_out |= {*registry.of_kind(names, registry.GRADIENT)}
  num_examples = context.dataset.train.num_examples
  epochs = step // subset.steps_per_epoch(config, num_examples)
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


def kept(context: Context) -> tuple[str, ...]:
  """What a forward pass keeps beside scores.

  Predictions are for the label audit: those by runs that left the example out
  always, others where they are small.
  """
  config, dataset = context.config, context.dataset
  keep = {*config.score.keep}
  num_bytes = 4 * dataset.train.num_examples * dataset.num_classes
  if config.train.subset_fraction < 1.0 or (
    registry.of_kind(config.score.names, registry.FORWARD)
    and num_bytes <= _MAX_PRED_PROBS_BYTES
  ):
    keep.add('pred_probs')
  return tuple(sorted(keep))


def _manifest(context: Context, run: int, step: int) -> dict:
  """What is said of the scores of one network; {} if there are none.

  Raises:
    DataDietError: if the folder's scores are of other data.
  """
  folder = context.workdir.scores(run, step)
  manifest = artifacts.read_manifest(folder)
  if manifest is None:
    return {}
  artifacts.check_fingerprint(manifest, context.dataset.fingerprint, folder)
  return manifest


def missing(context: Context, run: int, step: int) -> tuple[str, ...]:
  """The scores of one network that are still to be computed.

  Those made with other settings than these are among them, and all of the
  gradient pass if norms by layer are asked for and are not there.

  Raises:
    DataDietError: if the folder's scores are of other data.
  """
  folder, config = context.workdir.scores(run, step), context.config
  due = scores_of(context, run, step)
  stated = _manifest(context, run, step).get('scores', {})
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
      for key, value in parameters(config, name).items()
    )
  )


def lacks_kept(context: Context, run: int, step: int) -> bool:
  """Whether something is missing that a forward pass keeps beside scores."""
  names = kept(context)
  if names and not _manifest(context, run, step):
    return True
  folder = context.workdir.scores(run, step)
  return not all(_exists(folder, name) for name in names)


def _exists(folder, name: str) -> bool:
  return (folder / f'{name}.npy').exists()


def check_selected(context: Context) -> None:
  """Checks, before anything is trained, that what is asked for can be had.

  Raises:
    ConfigError: if a score to select by is not defined at its step, the model
      sows no features that are needed, or grand_subset matches no parameters.
  """
  config = context.config
  _check_features(context)
  if not config.select.scores_path:
    for selected in config.select.scores:
      name, step = registry.split_step(selected)
      step = config.select.step if step is None else step
      if registry.SCORES[name].kind in (registry.HELD_OUT, registry.TRAJECTORY):
        continue
      if not runs_of(context, name, step):
        per_epoch = subset.steps_per_epoch(
          config, context.dataset.train.num_examples
        )
        raise ConfigError(
          f'config.select.scores: {name!r} is not defined at step {step}; '
          'allowed: scores of networks, and of dynamics from the first epoch '
          f'on ({per_epoch} steps), of windows from train.dynamics_window = '
          f'{config.train.dynamics_window} epochs on, none of dynamics with '
          'train.subset_path'
        )
  if 'grand_subset' in config.score.names:
    names = leaf_names(network_shapes(context)['params'])
    if not subset_paths(names, config.score.grand_subset):
      raise ConfigError(
        f'config.score.grand_subset: {config.score.grand_subset!r} is found in '
        f'no path; allowed: what is found in one of {", ".join(names)}'
      )


def _check_features(context: Context) -> None:
  """Refuses, before anything is trained, features that no network gives.

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
  if not needed_by or _sows(context, config.model.name):
    return
  known = ', '.join(name for name in MODELS if _sows(context, name)) or 'none'
  raise ConfigError(
    f'config.model.name: {config.model.name!r} sows no features, which '
    f'{" and ".join(needed_by)} need; allowed: a model that does (of those '
    f'known: {known}), by {features.HOW}'
  )


def _sows(context: Context, model: str) -> bool:
  network = _network(context, model)
  return features.sows_features(network, context.dataset.image_shape)


def _network(context: Context, name: str):
  model = context.config.model
  return make_model(
    name,
    num_classes=context.dataset.num_classes,
    width=model.width,
    dtype=model.dtype,
    options=model.options if name == model.name else None,
  )


def network_shapes(context: Context) -> dict:
  """Shapes of {'params': ..., 'batch_stats': ...}; computes nothing."""
  model = _network(context, context.config.model.name)
  shape = context.dataset.image_shape
  key = np.zeros(2, np.uint32)
  return jax.eval_shape(lambda key: init_variables(model, shape, key), key)
