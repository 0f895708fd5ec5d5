"""The draws of selections: what each is made from, and what was trained on it.

A random selection has one draw per retraining, any other has a single draw. A
draw's manifest states everything that it depends on, so that an outdated draw
is noticed, and with it the retrainings that were trained on it.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from absl import logging
from etils import epath

from datadiet.errors import ConfigError, DataDietError, counted
from datadiet.scoring import registry
from datadiet.selection.budgets import (
  DIFFICULTY,
  WORST_CLASS,
  class_difficulties,
  class_errors,
)
from datadiet.stages import changes, pred_probs
from datadiet.stages.context import Context
from datadiet.stages.selections import PlannedSelection
from datadiet.workdir import artifacts
from datadiet.workdir.example_lists import read_example_index


@dataclasses.dataclass(frozen=True)
class Draw:
  """One list of examples to keep.

  Attributes:
    selection: the one that the draw belongs to.
    run: the retraining it is for; None where it is for all.
    folder: where it is stored.
  """

  selection: PlannedSelection
  run: int | None
  folder: epath.Path


def draws_of(context: Context, selection: PlannedSelection) -> list[Draw]:
  """The draws of a selection; none if it changes while training."""
  if selection.changes:
    return []
  runs = [None]
  if selection.by_run:
    # With those of an earlier start with more of them, which are reported too.
    made = context.workdir.runs(f'selections/{selection.name}')
    runs = sorted({*range(context.config.retrain.num_runs), *made})
  return [
    Draw(selection, run, context.workdir.selection(selection.name, run))
    for run in runs
  ]


def for_run(context: Context, selection: PlannedSelection, run: int) -> Draw:
  """The draw that a retraining of a selection trains on."""
  number = run if selection.by_run else None
  folder = context.workdir.selection(selection.name, number)
  return Draw(selection, number, folder)


def all_draws(context: Context) -> list[Draw]:
  """The draws of all selections that the config asks for."""
  return [
    draw
    for selection in context.selections
    for draw in draws_of(context, selection)
  ]


def hash_of(example_index: np.ndarray) -> str:
  """A hash of int64[num_kept] examples, by which retrainings name them."""
  content = np.ascontiguousarray(example_index, '<i8').tobytes()
  return hashlib.sha256(content).hexdigest()[:16]


def higher_is(context: Context, selection: PlannedSelection) -> str:
  """What a high value means for the scores that a subset is chosen by."""
  if selection.score is None:
    return 'neither'
  if context.score_file is not None:
    return context.score_file.higher_is
  return registry.get(selection.score).higher_is


def facts(context: Context, draw: Draw) -> dict[str, Any]:
  """Everything that a draw depends on, as its manifest has to state it."""
  selection = draw.selection
  uses_score = selection.score is not None
  return {
    **selection.facts(),
    'labels_fingerprint': context.dataset.labels_fingerprint,
    'higher_is': higher_is(context, selection) if uses_score else None,
    'seed': context.config.select.seed if 'seed' in selection.needs else None,
    'draw': draw.run,
    'made_from': _checksums(context, selection),
  }


def class_weights(
  context: Context, selection: PlannedSelection
) -> np.ndarray | None:
  """What a selection's budget weighs classes by, float64[num_classes].

  Raises:
    DataDietError: if the scores or predictions are missing.
  """
  labels, num_classes = (
    context.dataset.train.labels,
    context.dataset.num_classes,
  )
  step = selection.read_step
  if selection.budget == DIFFICULTY and selection.score is not None:
    file = context.score_file
    scores = (
      context.mean_score(selection.score, step) if file is None else file.scores
    )
    end = higher_is(context, selection)
    return class_difficulties(scores, end, labels, num_classes)
  if selection.budget == WORST_CLASS:
    run = predictions_run(context)
    probs = context.once(
      f'predictions of {run} at {step}',
      lambda: pred_probs.read(context, run, step),
    )
    return class_errors(probs, labels, num_classes)
  return None


def predictions_run(context: Context) -> int | None:
  """The run by whose predictions the worst class is told; None for the mean.

  That is by networks that did not train on the example, where there are any.
  """
  return None if context.config.train.predicts_unseen else 0


def _checksums(
  context: Context, selection: PlannedSelection
) -> dict[str, int | None]:
  """Checksums of the arrays that a selection is made from; None if missing."""
  step = selection.read_step
  found: dict[str, int | None] = {}
  means = context.manifest(context.workdir.scores(None, step)) or {}
  if selection.score is not None:
    if context.score_file is not None:
      found['scores'] = context.score_file.checksum
    else:
      found['scores'] = means.get('checksums', {}).get(selection.score)
  if 'mean_confidence' in selection.needs:
    found['mean_confidence'] = means.get('checksums', {}).get('mean_confidence')
  first = context.manifest(context.workdir.scores(0, step)) or {}
  for name in sorted({'features', 'pred_probs'} & selection.needs):
    found[name] = first.get('checksums', {}).get(name)
  if 'features' in found and context.embedding_file is not None:
    found['features'] = context.embedding_file.checksum
  if selection.budget == WORST_CLASS:
    are_there = pred_probs.are_there(context, predictions_run(context), step)
    weights = class_weights(context, selection) if are_there else None
    found['class_errors'] = (
      None if weights is None else artifacts.checksum(weights)
    )
  return found


def is_made(context: Context, draw: Draw) -> bool:
  """Whether a draw exists and was made from the inputs of today.

  Inputs that are not known yet, such as scores still to be computed, do not
  count as a difference.
  """
  manifest = context.manifest(draw.folder)
  if manifest is None:
    return False
  wanted = facts(context, draw)
  made_from, before = wanted.pop('made_from'), manifest.get('made_from', {})
  if 'higher_is' not in draw.selection.needs:
    del wanted['higher_is']  # Stated, but nothing depends on it.
  if draw.selection.step is None:
    del wanted['step']  # Nor on one that was stated before.
  return artifacts.agrees(manifest, wanted) and all(
    value is None or before.get(name) == value
    for name, value in made_from.items()
  )


def read_draw(context: Context, draw: Draw) -> np.ndarray:
  """Reads the examples of a draw, int64[num_kept], to train on.

  Raises:
    DataDietError: if it is missing, outdated, or damaged.
  """
  manifest = context.manifest(draw.folder)
  if manifest is None or not is_made(context, draw):
    raise DataDietError(
      f'{draw.folder} is not there as these settings ask for it; run the '
      'select stage first (--stages=select,retrain)'
    )
  example_index = context.once(
    f'{draw.folder}/example_index.npy',
    lambda: read_example_index(draw.folder, context.num_examples),
  )
  if hash_of(example_index) != manifest['hash']:
    raise DataDietError(
      f'{draw.folder / "example_index.npy"} is damaged (its values are not '
      f'those that were written); delete {draw.folder} to make it anew'
    )
  return example_index


def retrainings_of(context: Context, draw: Draw) -> list[epath.Path]:
  """The folders of retrainings that were begun on a draw."""
  group = f'retrain/{draw.selection.name}'
  return [
    context.workdir.run(group, run)
    for run in context.workdir.runs(group)
    if draw.run in (None, run)
  ]


def outdated_retrainings(
  context: Context,
  draw: Draw,
  *,
  will_be: str | None = None,
  scores_first: bool = False,
) -> list[epath.Path]:
  """The retrainings on a draw that were begun on other examples.

  Args:
    context: of the start.
    draw: made or not.
    will_be: `hash_of` the draw that is to be made; None while it is not known,
      which does not count as a difference.
    scores_first: whether the score stage runs before.
  """
  manifest = context.manifest(draw.folder)
  if manifest is None and will_be is None:
    return []
  folders = retrainings_of(context, draw)
  if manifest is None:
    # One that is not finished may have been begun on anything.
    return [one for one in folders if _trained_on(context, one) != will_be]
  stays = is_made(context, draw) and not (
    scores_first and changes.will_change(context, draw.selection)
  )
  if not stays:
    return folders
  return [
    one
    for one in folders
    if context.manifest(one) and _trained_on(context, one) != manifest['hash']
  ]


def warn_of_outdated(context: Context, *, scores_first: bool) -> None:
  """Names subsets whose scores have changed, where none is to be made anew.

  Args:
    context: of a start without the stages select and retrain.
    scores_first: whether the score stage runs.
  """
  try:
    outdated = {
      draw.selection.name
      for draw in all_draws(context)
      if context.manifest(draw.folder) is not None
      and (
        not is_made(context, draw)
        or (scores_first and changes.will_change(context, draw.selection))
      )
    }
  except DataDietError as error:  # Of settings that no stage asked for uses.
    logging.debug('Subsets cannot be looked at: %s', error)
    return
  if outdated:
    logging.warning(
      'Made from other scores than those of now: %s, and what was trained on '
      'them; --stages=select,retrain,report makes them anew, with '
      '--config.select.remake=True where networks were trained on them',
      ', '.join(sorted(outdated)),
    )


def _trained_on(context: Context, folder: epath.Path) -> str | None:
  """`hash_of` of what a finished retraining was trained on."""
  manifest = context.manifest(folder) or {}
  return (manifest.get('selection') or {}).get('hash')


def refuse(context: Context, outdated: Sequence[epath.Path]) -> None:
  """Refuses to leave retrainings beside subsets they were not made on.

  Raises:
    ConfigError: if there are any; names them, and what to do.
  """
  if not outdated:
    return
  root = context.workdir.root
  names = sorted(str(folder.relative_to(root)) for folder in outdated)
  raise ConfigError(
    f'{counted(len(names), "retraining")} in {root} saw other subsets than '
    'these '
    f'settings and scores give: {", ".join(names)}; allowed: the settings and '
    'runs they were made with, another --workdir, or '
    '--config.select.remake=True, which deletes them and makes them anew'
  )
