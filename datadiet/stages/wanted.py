"""Which scores are due for which run and step, and which are not done."""

import numpy as np

from datadiet import artifacts
from datadiet.scoring import registry
from datadiet.stages import subset
from datadiet.stages.context import Context

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


def missing(context: Context, run: int, step: int) -> tuple[str, ...]:
  """The scores of one network that are still to be computed.

  Raises:
    DataDietError: if the folder's scores are of other data.
  """
  folder = context.workdir.scores(run, step)
  manifest = artifacts.read_manifest(folder)
  due = scores_of(context, run, step)
  if manifest is None:
    return due
  artifacts.check_fingerprint(manifest, context.dataset.fingerprint, folder)

  def lacks(name: str) -> bool:
    return not (folder / f'{name}.npy').exists()

  # What is kept comes with the forward pass, which is then made again.
  again = ()
  if any(map(lacks, kept(context))):
    again = registry.of_kind(due, registry.FORWARD, registry.DATA)
  return tuple(
    name
    for name in due
    if name in again or name not in manifest['scores'] or lacks(name)
  )
