"""Whether the score stage will change what selections are made from."""

from datadiet.scoring import registry
from datadiet.selection.budgets import WORST_CLASS
from datadiet.stages import due
from datadiet.stages.context import Context
from datadiet.stages.selections import PlannedSelection
from datadiet.workdir import artifacts


def will_change(context: Context, selection: PlannedSelection) -> bool:
  """Whether the score stage will change what a selection reads.

  That is so where runs were added or removed, scored steps of a score of
  several, or settings of scores, as their manifests state them.
  """
  step = selection.read_step
  if any(
    _mean_will_change(context, name, step)
    for name in due.scores_read(context, selection)
  ):
    return True
  looks_at = {'features', 'pred_probs'} & selection.needs
  if context.embedding_file is not None:
    looks_at -= {'features'}
  if looks_at and _arrays_will_change(context, 0, step):
    return True
  if selection.budget != WORST_CLASS:
    return False
  if not context.config.train.predicts_unseen:
    return _arrays_will_change(context, 0, step)
  return _runs_will_change(context, step)


def _mean_will_change(context: Context, name: str, step: int) -> bool:
  """Whether a score over runs will be another one."""
  manifest = context.manifest(context.workdir.scores(None, step)) or {}
  stated = manifest.get('scores', {}).get(name)
  if stated is None:  # Not there yet, or not any more: it is made the same.
    return False
  score = registry.get(name)
  wanted = {
    **due.settings_of(context.config, name),
    'runs': due.runs_of_mean(context, name, step),
  }
  made_of = []
  if score.kind == registry.TRAJECTORY:
    made_of = due.steps_of(context.config, name)
    wanted['steps'] = made_of
  if not artifacts.agrees(stated, wanted):
    return True
  if score.kind == registry.HELD_OUT and not score.made_of:
    return _runs_will_change(context, step)
  return any(_mean_will_change(context, score.made_of, one) for one in made_of)


def _runs_will_change(context: Context, step: int) -> bool:
  """Whether predictions over runs will be others."""
  manifest = context.manifest(context.workdir.scores(None, step))
  if manifest is None:
    return False
  return manifest['runs'] != [*context.runs] or any(
    _arrays_will_change(context, run, step) for run in context.runs
  )


def _arrays_will_change(context: Context, run: int, step: int) -> bool:
  """Whether a forward pass of another type will write a network's arrays.

  It writes features and predictions beside the scores, which state the type.
  """
  manifest = context.manifest(context.workdir.scores(run, step)) or {}
  stated = manifest.get('scores', {})
  return any(
    name in stated and stated[name].get('dtype') != context.config.score.dtype
    for name in registry.of_kind(
      due.missing(context, run, step), registry.FORWARD
    )
  )
