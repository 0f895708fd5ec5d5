"""The subsets that the config asks for, as planned before they are made."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import logging

from datadiet.config import Config, policy_options
from datadiet.data import Dataset
from datadiet.errors import counted
from datadiet.scoring import registry
from datadiet.selection import (
  POLICIES,
  can_balance,
  check_policy,
  class_budgets,
  num_kept,
  selection_name,
)
from datadiet.selection.budgets import (
  BALANCED,
  DIFFICULTY,
  proportional_quotas,
)
from datadiet.selection.naming import reads_a_step
from datadiet.selection.recommended import AUTO, recommended_options
from datadiet.selection.settings import SelectSettings, methods_of
from datadiet.workdir.tables import SELECTION_FACTS


@dataclasses.dataclass(frozen=True)
class PlannedSelection:
  """One subset to be made, or one for each retraining.

  Attributes:
    name: the name of its folder.
    policy: a key of `POLICIES`.
    score: the score it selects by, or None.
    step: of the score or the features; None where it depends on no step, or
      on scores from a file.
    num_kept: examples kept.
    class_balanced: whether classes are kept equal.
    options: all options of the policy.
    by_run: whether every retraining has a draw of its own.
    read_step: the step of the workdir's arrays that it reads; equals `step` if
      that is not None.
    embeddings: what it looks at, of `EMBEDDINGS`; '' if it cannot choose.
    budget: how many of each class are kept, of `BUDGETS`; None where classes
      are balanced, or the policy decides.
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
  embeddings: str = ''
  budget: str | None = None

  @property
  def changes(self) -> bool:
    """Whether it changes while training, so that there is nothing to store."""
    return POLICIES[self.policy].epochs is not None

  @property
  def needs(self) -> frozenset[str]:
    """What its policy reads: `Policy.needs`, and arrays of embeddings."""
    policy = POLICIES[self.policy]
    of_budget = {'scores', 'higher_is'} if self.budget == DIFFICULTY else set()
    return policy.needs | policy.arrays(self.embeddings) | of_budget

  def facts(self) -> dict[str, Any]:
    """The entries of its manifest that do not depend on the data."""
    return {name: getattr(self, name) for name in SELECTION_FACTS}


def network_arrays(select: SelectSettings) -> set[str]:
  """The arrays of a network that policies look at, besides scores."""
  names = {
    name
    for policy in select.policy_names
    for name in POLICIES[policy].arrays(_embeddings(select, policy))
  }
  if select.embeddings_path:
    names.discard('features')
  return names & {'features', 'pred_probs'}


def _embeddings(select: SelectSettings, policy: str) -> str:
  """What a policy is to look at; '' if it cannot choose."""
  own = POLICIES[policy].embeddings
  if own and select.embeddings_path:
    own = 'features'  # A user's own embeddings are looked at as they are.
  return own and (select.embeddings or own)


def plan_selections(
  config: Config,
  dataset: Dataset,
  score_file: str | None,
  embedding_file: str | None = None,
) -> tuple[PlannedSelection, ...]:
  """All subsets that the config asks for, each once.

  A class-balanced baseline is left out, with a line, where a class has too few
  examples for it.

  Args:
    config: of `config.resolve`.
    dataset: the data.
    score_file: the name of the scores in select.scores_path; None for those of
      the workdir.
    embedding_file: likewise, of the features in select.embeddings_path.

  Raises:
    DataDietError: for a size that keeps nothing, or more than there is.
  """
  scores: list[tuple[str, int | None]]
  if score_file is None:
    scores = [_with_step(config.select, one) for one in config.select.scores]
  else:
    scores = [(score_file, None)]
  labels = dataset.train.labels
  class_sizes = np.bincount(labels, minlength=dataset.num_classes)
  asked_for = _asked_for(config.select, class_sizes, scores, embedding_file)
  return tuple({one.name: one for one in asked_for}.values())


def _with_step(select: SelectSettings, selected: str) -> tuple[str, int | None]:
  name, step = registry.split_step(selected)
  return name, select.step if step is None else step


def _asked_for(
  select: SelectSettings,
  class_sizes: np.ndarray,
  scores: list[tuple[str, int | None]],
  embedding_file: str | None,
) -> Iterator[PlannedSelection]:
  num_examples = int(class_sizes.sum())
  for asked in (*select.fractions, *select.sizes):
    kept = num_kept(asked, num_examples)
    fraction = asked if isinstance(asked, float) else kept / num_examples
    balanced = select.class_budget == BALANCED
    budget = '' if balanced else select.class_budget
    for policy, score_of_its_own, recommended in _methods(
      select, fraction, kept, class_sizes
    ):
      own = {**recommended, **policy_options(policy, select.options)}
      _, options = check_policy(policy, own)
      if policy == 'random' and not budget:
        yield _by_chance(policy, kept, balanced, {})
      elif epochs := POLICIES[policy].epochs:
        # Some policies decide themselves how many they leave out.
        size = kept if epochs.takes_size else num_examples
        yield _by_chance(policy, size, False, options)
      else:
        embeddings = _embeddings(select, policy)
        looks_at = _looks_at(policy, embeddings, embedding_file)
        arrays = POLICIES[policy].arrays(embeddings)
        of_workdir = arrays - {'features'} if embedding_file else arrays
        reads_score = 'scores' in arrays or budget == DIFFICULTY
        own_scores = scores
        if score_of_its_own is not None:
          own_scores = [_with_step(select, score_of_its_own)]
        for score, step in own_scores:
          if not reads_a_step(of_workdir, budget):
            step = None
          yield PlannedSelection(
            name=selection_name(
              score, step, policy, kept, balanced, options, looks_at, budget
            ),
            policy=policy,
            score=score if reads_score else None,
            step=step,
            num_kept=kept,
            class_balanced=balanced,
            options=options,
            by_run=policy == 'random',
            read_step=select.step if step is None else step,
            embeddings=embeddings,
            budget=budget or None,
          )
    for baseline in select.baselines:
      balanced = baseline == 'random_balanced'
      if balanced and not can_balance(kept, class_sizes):
        logging.warning(
          'Baseline random_balanced of %s left out: the smallest class has '
          'only %s',
          counted(kept, 'example'),
          counted(int(class_sizes.min()), 'example'),
        )
        continue
      yield _by_chance('random', kept, balanced, {})


def _methods(
  select: SelectSettings, fraction: float, kept: int, class_sizes: np.ndarray
) -> Iterator[tuple[str, str | None, dict[str, Any]]]:
  """(policy, its own score or None, recommended options) of all policies."""
  quotas, sizes = np.array([kept]), np.array([class_sizes.sum()])
  if select.class_budget == BALANCED and can_balance(kept, class_sizes):
    quotas, sizes = class_budgets(BALANCED, kept, class_sizes), class_sizes
  elif select.class_budget:  # Those by difficulty or errors are not known yet.
    quotas, sizes = proportional_quotas(kept, class_sizes), class_sizes
  for asked in select.policies:
    for policy, score in methods_of(asked):
      recommended = {}
      if asked == AUTO:
        recommended = recommended_options(policy, fraction, quotas, sizes)
      yield policy, score, recommended


def _looks_at(policy: str, embeddings: str, embedding_file: str | None) -> str:
  """What the name of a selection says of embeddings; '' for the policy's own.

  Args:
    policy: a key of `POLICIES`.
    embeddings: of `_embeddings`.
    embedding_file: of `plan_selections`.
  """
  if embedding_file and 'features' in POLICIES[policy].arrays(embeddings):
    if embeddings == 'gradients':
      return f'{embedding_file}_gradients'
    return embedding_file
  return '' if embeddings == POLICIES[policy].embeddings else embeddings


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
