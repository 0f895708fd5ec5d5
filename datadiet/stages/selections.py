"""The subsets that the config asks for, as planned before they are made."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import logging

from datadiet.config import Config, policy_options
from datadiet.data import Dataset
from datadiet.scoring import registry
from datadiet.selection import (
  POLICIES,
  can_balance,
  check_policy,
  num_kept,
  selection_name,
)
from datadiet.selection.settings import SelectSettings
from datadiet.workdir.tables import SELECTION_FACTS


@dataclasses.dataclass(frozen=True)
class PlannedSelection:
  """One subset to be made, or one for each retraining.

  Attributes:
    name: the name of its folder.
    policy: a key of `POLICIES`.
    score: the score it selects by, or None.
    step: of the score or the features; None for none, or one from a file.
    num_kept: examples kept.
    class_balanced: whether classes are kept equal.
    options: all options of the policy.
    by_run: whether every retraining has a draw of its own.
    read_step: the step of the workdir's arrays that it reads; equals `step` if
      that is not None.
  """

  name: str
  policy: str
  score: str | None
  step: int | None
  num_kept: int
  class_balanced: bool
  options: dict[str, Any]
  by_run: bool
  read_step: int

  @property
  def changes(self) -> bool:
    """Whether it changes while training, so that there is nothing to store."""
    return POLICIES[self.policy].epochs is not None

  @property
  def needs(self) -> frozenset[str]:
    """The arrays that its policy reads; see `Policy.needs`."""
    return POLICIES[self.policy].needs

  def facts(self) -> dict[str, Any]:
    """The entries of its manifest that do not depend on the data."""
    return {name: getattr(self, name) for name in SELECTION_FACTS}


def plan_selections(
  config: Config, dataset: Dataset, score_file: str | None
) -> tuple[PlannedSelection, ...]:
  """All subsets that the config asks for, each once.

  A class-balanced baseline is left out, with a line, where a class has too few
  examples for it.

  Args:
    config: of `config.resolve`.
    dataset: the data.
    score_file: the name of the scores in select.scores_path; None for those of
      the workdir.

  Raises:
    DataDietError: for a size that keeps nothing, or more than there is.
  """
  scores: list[tuple[str, int | None]]
  if score_file is None:
    scores = [_with_step(config, one) for one in config.select.scores]
  else:
    scores = [(score_file, None)]
  labels = dataset.train.labels
  class_sizes = np.bincount(labels, minlength=dataset.num_classes)
  asked_for = _asked_for(config.select, class_sizes, scores)
  return tuple({one.name: one for one in asked_for}.values())


def _with_step(config: Config, selected: str) -> tuple[str, int | None]:
  name, step = registry.split_step(selected)
  return name, config.select.step if step is None else step


def _asked_for(
  select: SelectSettings,
  class_sizes: np.ndarray,
  scores: list[tuple[str, int | None]],
) -> Iterator[PlannedSelection]:
  num_examples = int(class_sizes.sum())
  for asked in (*select.fractions, *select.sizes):
    kept = num_kept(asked, num_examples)
    for policy in select.policies:
      balanced = select.class_balanced
      own = policy_options(policy, select.options)
      _, options = check_policy(policy, own)
      if policy == 'random':
        yield _by_chance(policy, kept, balanced, {})
      elif epochs := POLICIES[policy].epochs:
        # Some policies decide themselves how many they leave out.
        size = kept if epochs.takes_size else num_examples
        yield _by_chance(policy, size, False, options)
      else:
        for score, step in scores:
          yield PlannedSelection(
            name=selection_name(score, step, policy, kept, balanced, options),
            policy=policy,
            score=score if 'scores' in POLICIES[policy].needs else None,
            step=step,
            num_kept=kept,
            class_balanced=balanced,
            options=options,
            by_run=False,
            read_step=select.step if step is None else step,
          )
    for baseline in select.baselines:
      balanced = baseline == 'random_balanced'
      if balanced and not can_balance(kept, class_sizes):
        logging.warning(
          'Baseline random_balanced of %d examples left out: the smallest '
          'class has only %d examples',
          kept,
          class_sizes.min(),
        )
        continue
      yield _by_chance('random', kept, balanced, {})


def _by_chance(
  policy: str, kept: int, class_balanced: bool, options: dict[str, Any]
) -> PlannedSelection:
  """One that reads no score and has a draw for each retraining."""
  return PlannedSelection(
    name=selection_name(None, None, policy, kept, class_balanced, options),
    policy=policy,
    score=None,
    step=None,
    num_kept=kept,
    class_balanced=class_balanced,
    options=options,
    by_run=True,
    read_step=0,
  )
