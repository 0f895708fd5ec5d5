"""The select stage: which examples to keep, by every policy asked for."""

import dataclasses
import time
from typing import Any

import numpy as np
from absl import logging

from datadiet.errors import ConfigError, DataDietError
from datadiet.runtime import processes
from datadiet.selection import (
  POLICIES,
  SelectionInputs,
  can_balance,
  check_possible,
  class_budgets,
  select_examples,
)
from datadiet.selection.budgets import (
  DIFFICULTY,
  PROPORTIONAL,
  WORST_CLASS,
)
from datadiet.stages import draws, timing
from datadiet.stages.context import Context
from datadiet.stages.draws import Draw
from datadiet.stages.selections import PlannedSelection
from datadiet.workdir import artifacts, storage


def plan(context: Context) -> str:
  """The work that is left, in one line."""
  waiting = {
    draw.selection.name
    for draw in draws.all_draws(context)
    if not draws.is_made(context, draw)
  }
  num_all = len(context.selections)
  return f'{num_all} subsets ({num_all - len(waiting)} done)'


def check_sizes(context: Context) -> None:
  """Checks, before anything is trained, that every subset can be made.

  There are no scores yet, so policies are tried on scores that all tie; those
  that look at features or predictions say what they need of sizes.

  Raises:
    ConfigError: names the subset and the reason.
  """
  dataset, config = context.dataset, context.config
  batch_size, num_examples = config.train.batch_size, context.num_examples
  inputs = SelectionInputs(
    labels=dataset.train.labels,
    num_classes=dataset.num_classes,
    scores=np.zeros(num_examples, np.float32),
    mean_confidence=np.full(num_examples, 0.5, np.float32),
  )
  for one in context.selections:
    if one.changes:
      epochs = POLICIES[one.policy].epochs
      assert epochs is not None  # Or nothing would change.
      left = epochs.smallest_epoch(one.num_kept, **one.options)
      if left < batch_size:
        raise ConfigError(
          f'config.select.policies: {one.policy!r} may leave {left} of '
          f'{num_examples} examples to an epoch; allowed: at least a batch of '
          f'{batch_size}'
        )
      continue
    try:
      _check_one(context, one, inputs)
    except DataDietError as error:
      raise ConfigError(
        f'config.select: {one.name} cannot be made: {error}'
        f'{_remedy(context, one)}'
      ) from error


def _check_one(
  context: Context, one: PlannedSelection, inputs: SelectionInputs
) -> None:
  """Raises DataDietError where a subset that stays cannot be made."""
  sizes, quotas = _class_sizes(context), None
  if one.budget == PROPORTIONAL:
    quotas = class_budgets(one.budget, one.num_kept, sizes)
  asked: dict[str, Any] = {
    'class_balanced': one.class_balanced,
    'quotas': quotas,
    'options': one.options,
  }
  if {'features', 'pred_probs'} & one.needs:
    check_possible(one.policy, sizes, one.num_kept, **asked)
  else:
    higher_is = draws.higher_is(context, one)
    tied = dataclasses.replace(inputs, higher_is=higher_is)
    select_examples(one.policy, tied, one.num_kept, **asked)
  if one.budget in (DIFFICULTY, WORST_CLASS):
    # Its quotas are known after training. One of each class has to be possible.
    ones = np.minimum(sizes, 1)
    check_possible(
      one.policy, sizes, int(ones.sum()), quotas=ones, options=one.options
    )
    _warn_of_budget(context, one, sizes)


def _warn_of_budget(
  context: Context, selection: PlannedSelection, sizes: np.ndarray
) -> None:
  """Says what may yet go wrong with a budget that only training tells."""
  if selection.budget == WORST_CLASS and (
    draws.predictions_run(context) is not None
  ):
    logging.warning(
      '%s will go by predictions on the examples that the network trained on, '
      'of which few are wrong in any class, so that classes keep nearly equal '
      'shares; --config.train.folds=5 has predictions by networks that did not '
      'see them',
      selection.name,
    )
  most = np.minimum(sizes, selection.num_kept)
  for label in np.flatnonzero(most).tolist():
    quotas = np.where(np.arange(len(sizes)) == label, most, 0)
    try:
      check_possible(
        selection.policy,
        sizes,
        int(most[label]),
        quotas=quotas,
        options=selection.options,
      )
    except DataDietError as error:
      logging.warning(
        '%s cannot be made if its budget, which is known after training, gives '
        'a class as much as it can: %s',
        selection.name,
        error,
      )
      return


def _class_sizes(context: Context) -> np.ndarray:
  """int64[num_classes]."""
  dataset = context.dataset
  return np.bincount(dataset.train.labels, minlength=dataset.num_classes)


def _remedy(context: Context, selection: PlannedSelection) -> str:
  """Where a class is too small for a balance, the sizes that are possible."""
  dataset, sizes = context.dataset, _class_sizes(context)
  if not selection.class_balanced or can_balance(selection.num_kept, sizes):
    return ''
  label = int(np.argmin(sizes))
  return (
    f'; the smallest class, {dataset.class_names[label]!r}, has {sizes[label]} '
    f'of {sizes.sum()}, allowed: up to about {sizes[label] * len(sizes)} '
    'examples'
  )


def check_retrainings(context: Context, *, scores_first: bool) -> None:
  """Refuses a start that would leave retrainings of outdated subsets.

  Args:
    context: of the start.
    scores_first: whether the score stage runs before, which may change scores.

  Raises:
    ConfigError: names all of them, and the setting that makes them anew.
  """
  if context.config.select.remake:
    return
  outdated = [
    folder
    for draw in draws.all_draws(context)
    for folder in draws.outdated_retrainings(
      context, draw, scores_first=scores_first
    )
  ]
  draws.refuse(context, outdated)


def run(context: Context) -> None:
  """Makes the subsets that are missing or outdated.

  Raises:
    ConfigError: if retrainings were begun on a subset that would change, and
      select.remake does not say to make them anew.
    DataDietError: if a score is missing, or a size is not possible.
  """
  if not processes.is_lead():
    return
  outdated = []
  for draw in draws.all_draws(context):
    will_be = None
    if context.manifest(draw.folder) is None and (
      draws.retrainings_of(context, draw)
    ):
      will_be = draws.hash_of(_choose(context, draw))
    outdated += draws.outdated_retrainings(context, draw, will_be=will_be)
  if not context.config.select.remake:
    draws.refuse(context, outdated)
  for folder in outdated:
    logging.info('Removed, to be made anew: %s', folder)
    # First what says that it is finished, should this be cut off.
    storage.remove(folder / artifacts.MANIFEST)
    storage.remove_folder(folder)
  for selection in context.selections:
    of_selection = draws.draws_of(context, selection)
    lacking = [one for one in of_selection if not draws.is_made(context, one)]
    # The time of a subset is that of all its draws, each made once.
    anew = len(lacking) == len(of_selection)
    for draw in lacking:
      started = time.monotonic()
      _make(context, draw)
      seconds = time.monotonic() - started
      timing.add_subset_time(context, selection.name, seconds, anew=anew)
      anew = False


def _choose(context: Context, draw: Draw) -> np.ndarray:
  """The examples to keep, int64[num_kept], ascending.

  Raises:
    DataDietError: if a score is missing, or a size is not possible.
  """
  dataset, selection = context.dataset, draw.selection
  step = selection.read_step
  arrays: dict[str, np.ndarray] = {}
  if selection.score is not None and context.score_file is not None:
    arrays['scores'] = context.score_file.scores
  elif selection.score is not None:
    arrays['scores'] = context.mean_score(selection.score, step)
  if 'mean_confidence' in selection.needs:
    arrays['mean_confidence'] = context.mean_score('mean_confidence', step)
  for name in {'features', 'pred_probs'} & selection.needs:
    arrays[name] = _of_network(context, step, name)
  return select_examples(
    selection.policy,
    SelectionInputs(
      labels=dataset.train.labels,
      num_classes=dataset.num_classes,
      higher_is=draws.higher_is(context, selection),
      embeddings=selection.embeddings,
      **arrays,
    ),
    selection.num_kept,
    class_balanced=selection.class_balanced,
    quotas=_quotas(context, selection),
    seed=context.config.select.seed,
    draw=draw.run or 0,
    options=selection.options,
  )


def _quotas(context: Context, selection: PlannedSelection) -> np.ndarray | None:
  """How many of each class a selection keeps; None for as the policy does."""
  if not selection.budget:
    return None
  return class_budgets(
    selection.budget,
    selection.num_kept,
    _class_sizes(context),
    draws.class_weights(context, selection),
  )


def _of_network(context: Context, step: int, name: str) -> np.ndarray:
  """An array that policies look at, of the first run or of the user's file.

  Those of the first run: features of several networks have no common axes.
  """
  if name == 'features' and context.embedding_file is not None:
    return context.embedding_file.embeddings
  path = context.workdir.scores(0, step) / f'{name}.npy'
  if not path.exists():
    raise DataDietError(
      f'{path}, which the policies look at, does not exist; run the score '
      'stage first (--stages=score,select)'
    )
  return context.once(path, lambda: context.run_array(0, step, name))


def _make(context: Context, draw: Draw) -> None:
  """Writes a draw and its manifest."""
  dataset, selection = context.dataset, draw.selection
  example_index = _choose(context, draw)
  lost = np.setdiff1d(dataset.train.labels, dataset.train.labels[example_index])
  if len(lost):
    logging.warning(
      '%s keeps no example of %s',
      selection.name,
      ', '.join(dataset.class_names[label] for label in lost),
    )
  if context.manifest(draw.folder) is not None:
    logging.info('Made anew, from other settings or scores: %s', draw.folder)
    storage.remove(draw.folder / artifacts.MANIFEST)
  artifacts.write_npy(draw.folder / 'example_index.npy', example_index)
  context.write_manifest(
    draw.folder,
    {
      'kind': 'selection',
      'fingerprint': dataset.fingerprint,
      'fraction': selection.num_kept / context.num_examples,
      'hash': draws.hash_of(example_index),
      **draws.facts(context, draw),
    },
  )
