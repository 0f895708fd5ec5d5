"""The select stage: which examples to keep, by every policy asked for."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import logging

from datadiet.config import policy_options
from datadiet.errors import ConfigError, DataDietError
from datadiet.runtime import processes
from datadiet.scoring import registry
from datadiet.selection import (
  POLICIES,
  SelectionInputs,
  check_policy,
  num_kept,
  select_examples,
  selection_name,
)
from datadiet.stages.context import Context
from datadiet.stages.score_file import read_score_file
from datadiet.stages.score_mean import read_mean_score, read_run_score
from datadiet.workdir import artifacts


@dataclasses.dataclass(frozen=True)
class Selection:
  """One subset to be made.

  Attributes:
    name: its folder.
    policy: a key of `POLICIES`.
    score: what it goes by, or None.
    step: of the score or the features; None for none, or one from a file.
    num_kept: examples kept.
    class_balanced: whether classes are kept equal.
    options: of the policy.
    by_run: whether every retraining has a draw of its own.
    changes: whether it changes while training, so that there is nothing to
      store.
  """

  name: str
  policy: str
  score: str | None
  step: int | None
  num_kept: int
  class_balanced: bool
  options: dict[str, Any]
  by_run: bool
  changes: bool = False


def selections(context: Context) -> list[Selection]:
  """All subsets that the config asks for, each once."""
  return list({one.name: one for one in _asked_for(context)}.values())


def _asked_for(context: Context) -> Iterator[Selection]:
  select = context.config.select
  num_examples = context.dataset.train.num_examples
  options = select.options
  scores = _scores(context)
  for size in (*select.fractions, *select.sizes):
    kept = num_kept(size, num_examples)
    for policy in select.policies:
      if policy == 'random':
        yield _random(kept, select.class_balanced)
        continue
      own = policy_options(policy, options)
      if POLICIES[policy].epochs:
        yield _changing(policy, kept, num_examples, own)
        continue
      for score, step in scores:
        name = selection_name(
          score, step, policy, kept, select.class_balanced, own
        )
        used = score if 'scores' in POLICIES[policy].needs else None
        yield Selection(
          name, policy, used, step, kept, select.class_balanced, own, False
        )
    for baseline in select.baselines:
      yield _random(kept, baseline == 'random_balanced')


def _scores(context: Context) -> list[tuple[str, int | None]]:
  """(score, step) to select by; no step for scores from a file."""
  from_file = read_score_file(context.config, context.dataset)
  if from_file is not None:
    return [(from_file.name, None)]
  select = context.config.select
  parts = map(registry.split_step, select.scores)
  return [(n, select.step if step is None else step) for n, step in parts]


def _changing(
  policy: str, kept: int, num_examples: int, options: dict[str, Any]
) -> Selection:
  if not POLICIES[policy].epochs.takes_size:
    kept = num_examples  # It says itself how many it leaves out.
  name = selection_name(None, None, policy, kept, False, options)
  return Selection(name, policy, None, None, kept, False, options, True, True)


def _random(kept: int, class_balanced: bool) -> Selection:
  name = selection_name(None, None, 'random', kept, class_balanced)
  return Selection(name, 'random', None, None, kept, class_balanced, {}, True)


def folders(context: Context, selection: Selection) -> list[tuple[int, Any]]:
  """(run, folder) of a selection's draws; one for all runs unless by run."""
  if selection.changes:
    return []
  if not selection.by_run:
    return [(0, context.workdir.selection(selection.name))]
  return [
    (run, context.workdir.selection(selection.name, run))
    for run in range(context.config.retrain.num_runs)
  ]


def _expected(context: Context, selection: Selection, run: int) -> dict:
  """What the manifest of a draw must say for it to be the one wanted."""
  select = context.config.select
  return {
    'fingerprint': context.dataset.fingerprint,
    'policy': selection.policy,
    'score': selection.score,
    'step': selection.step,
    'num_kept': selection.num_kept,
    'class_balanced': selection.class_balanced,
    'options': selection.options,
    'seed': select.seed + run if selection.by_run else select.seed,
  }


def _missing(context: Context) -> list[tuple[Selection, int, Any]]:
  return [
    (selection, run, folder)
    for selection in selections(context)
    for run, folder in folders(context, selection)
    if not artifacts.is_complete(folder, **_expected(context, selection, run))
  ]


def plan(context: Context) -> str:
  """What is to be done, in a line."""
  wanted = selections(context)
  waiting = {selection.name for selection, _, _ in _missing(context)}
  return f'{len(wanted)} subsets ({len(wanted) - len(waiting)} done)'


def check_sizes(context: Context) -> None:
  """Checks, before anything is trained, that every subset can be had.

  There are no scores yet: policies are tried on ones that all tie.

  Raises:
    ConfigError: names the subset and what is in its way.
  """
  dataset, config = context.dataset, context.config
  num_examples = dataset.train.num_examples
  inputs = SelectionInputs(
    labels=dataset.train.labels,
    num_classes=dataset.num_classes,
    scores=np.zeros(num_examples, np.float32),
    mean_confidence=np.full(num_examples, 0.5, np.float32),
  )
  for one in selections(context):
    policy, options = one.policy, one.options
    if one.changes:
      epochs = POLICIES[policy].epochs
      _, every_option = check_policy(policy, options)
      left = epochs.smallest_epoch(one.num_kept, **every_option)
      if left < config.train.batch_size:
        raise ConfigError(
          f'config.select.policies: {policy!r} may leave {left} of '
          f'{num_examples} examples to an epoch; allowed: at least a batch of '
          f'{config.train.batch_size}'
        )
      continue
    if 'features' in POLICIES[policy].needs:
      policy, options = 'random', {}  # As many of each class, without features.
    try:
      select_examples(
        policy,
        dataclasses.replace(inputs, higher_is=_higher_is(context, one)),
        one.num_kept,
        class_balanced=one.class_balanced,
        options=options,
      )
    except DataDietError as error:
      raise ConfigError(
        f'config.select: {one.name} cannot be made: {error}'
        f'{_remedy(context, one)}'
      ) from error


def _higher_is(context: Context, selection: Selection) -> str:
  """What a high score means, of the scores that a subset goes by."""
  if selection.score is None:
    return 'neither'
  from_file = read_score_file(context.config, context.dataset)
  if from_file is not None:
    return from_file.higher_is
  return registry.SCORES[selection.score].higher_is


def _remedy(context: Context, selection: Selection) -> str:
  """For a class-balanced subset, what can be had instead."""
  if not selection.class_balanced:
    return ''
  dataset = context.dataset
  sizes = np.bincount(dataset.train.labels, minlength=dataset.num_classes)
  label = int(np.argmin(sizes))
  text = (
    f'; the smallest class, {dataset.class_names[label]!r}, has {sizes[label]} '
    f'of {sizes.sum()}, allowed: up to about {sizes[label] * len(sizes)} '
    'examples'
  )
  if selection.policy == 'random' and not context.config.select.class_balanced:
    text += ', or --config.select.baselines=random'
  return text


def run(context: Context) -> None:
  """Makes the subsets that are missing.

  Raises:
    DataDietError: if a score is missing, or a size cannot be had.
  """
  if not processes.is_lead():
    return
  missing = _missing(context)
  waiting = {str(folder) for _, _, folder in missing}
  for selection in selections(context):
    for _, folder in folders(context, selection):
      if str(folder) not in waiting:
        _check_unchanged(context, selection, folder)
  for selection, number, folder in missing:
    _make(context, selection, number, folder)


def _check_unchanged(context: Context, selection: Selection, folder) -> None:
  """Refuses a subset whose scores have changed since it was made.

  It may have been trained on already; made again it would not be what the
  results are of.

  Raises:
    DataDietError: names what to delete.
  """
  before = artifacts.read_manifest(folder).get('score_checksum')
  if before is None or before == _score_checksum(context, selection):
    return
  root = context.workdir.root
  raise DataDietError(
    f'{folder} was made from other values of {selection.score}, which have '
    f'changed since; delete it and {root / "retrain" / selection.name} to make '
    'both anew, or use another --workdir'
  )


def _score_checksum(context: Context, selection: Selection) -> int | None:
  """Of the scores that a subset is made from; None if it needs none."""
  if selection.score is None:
    return None
  from_file = read_score_file(context.config, context.dataset)
  if from_file is not None:
    return from_file.checksum
  scores = read_mean_score(context, selection.score, selection.step)
  return artifacts.checksum(scores)


def _make(context: Context, selection: Selection, run: int, folder) -> None:
  dataset, step = context.dataset, selection.step
  if step is None:
    step = context.config.select.step
  scores = mean_confidence = features = None
  from_file = read_score_file(context.config, dataset)
  if selection.score is not None and from_file is not None:
    scores = from_file.scores
  elif selection.score is not None:
    scores = read_mean_score(context, selection.score, step)
  if 'mean_confidence' in POLICIES[selection.policy].needs:
    mean_confidence = read_mean_score(context, 'mean_confidence', step)
  if 'features' in POLICIES[selection.policy].needs:
    # Those of the first run: features of several networks have no common axes.
    features = read_run_score(context, 0, step, 'features')
  expected = _expected(context, selection, run)
  example_index = select_examples(
    selection.policy,
    SelectionInputs(
      labels=dataset.train.labels,
      num_classes=dataset.num_classes,
      scores=scores,
      higher_is=_higher_is(context, selection),
      features=features,
      mean_confidence=mean_confidence,
    ),
    selection.num_kept,
    class_balanced=selection.class_balanced,
    seed=expected['seed'],
    options=selection.options,
  )
  lost = np.setdiff1d(dataset.train.labels, dataset.train.labels[example_index])
  if len(lost):
    logging.warning(
      '%s keeps no example of %s',
      selection.name,
      ', '.join(dataset.class_names[label] for label in lost),
    )
  artifacts.write_npy(
    folder / 'example_index.npy', example_index.astype(np.int64)
  )
  artifacts.write_manifest(
    folder,
    {
      'kind': 'selection',
      'fraction': selection.num_kept / dataset.train.num_examples,
      'score_checksum': _score_checksum(context, selection),
      **expected,
    },
  )
