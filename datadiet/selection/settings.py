"""The settings of selecting: `config.select`."""

import dataclasses
import itertools
import re
from collections.abc import Mapping
from typing import Any

from datadiet.selection.budgets import BALANCED, BUDGETS, DIFFICULTY
from datadiet.selection.interface import EMBEDDINGS
from datadiet.selection.policies import ALIASES, POLICIES
from datadiet.selection.recommended import AUTO, METHODS
from datadiet.settings import Check, checks, setting

BASELINES = ('random', 'random_balanced')

_SCORE = Check(
  lambda value: (
    isinstance(value, str) and bool(re.fullmatch(r'\w+(@\d+)?', value))
  ),
  'a score, or one with its step such as el2n@7800',
)


def methods_of(asked: str) -> tuple[tuple[str, str | None], ...]:
  """What an item of select.policies stands for: policies with their scores.

  A score is None where the policy goes by those of select.scores.
  """
  return METHODS if asked == AUTO else (split_policy(asked),)


def split_policy(asked: str) -> tuple[str, str | None]:
  """The policy of an item of select.policies, and the score of its own."""
  policy, colon, score = asked.partition(':')
  return policy, score if colon else None


def _is_policy(value: Any) -> bool:
  if not isinstance(value, str):
    return False
  policy, score = split_policy(value)
  known = policy in POLICIES or policy in ALIASES or value == AUTO
  return known and (score is None or _SCORE.accepts(score))


_POLICY = Check(
  _is_policy,
  lambda: (
    f'one of {", ".join(POLICIES)}, {AUTO}, or one with a score of its own '
    'such as ccs:aum'
  ),
  lambda: (*POLICIES, *ALIASES, AUTO),
)


@dataclasses.dataclass(frozen=True)
class SelectSettings:
  """Which subsets are made."""

  scores: tuple[str, ...] = setting(
    ('el2n',),
    checks.each(_SCORE),
    'The scores to select by, one after the other, of score.names; el2n@390 '
    'is that of step 390.',
    in_names=True,
  )
  scores_path: str = setting(
    '',
    checks.text,
    'A .npy of N numbers to select by instead, in the order of example_index, '
    'or a .npz of them and ids.',
    path=True,
  )
  higher_is: str = setting(
    '',
    checks.one_of(('harder', 'easier', '')),
    "Which end of these numbers is hard: 'harder', 'easier' or '' if nobody "
    'has to know.',
  )
  embeddings: str = setting(
    '',
    checks.one_of(('', *EMBEDDINGS)),
    "What policies of coverage look at: 'features', 'gradients' of the last "
    "layer, or '' for what each one's paper does.",
    in_names=True,
  )
  embeddings_path: str = setting(
    '',
    checks.text,
    'A .npy of [N, d] numbers to take for the features instead, in the order '
    'of example_index, or a .npz of them and ids.',
    path=True,
  )
  policies: tuple[str, ...] = setting(
    ('keep_max',),
    checks.each(_POLICY),
    'The rules by which examples are kept; ccs:aum has a score of its own '
    'instead of those of select.scores; auto is what docs/which_method.md '
    'recommends.',
    in_names=True,
  )
  fractions: tuple[float, ...] = setting(
    (0.5, 0.3),
    checks.each(checks.fraction),
    'Shares of the examples to keep.',
    in_names=True,
  )
  sizes: tuple[int, ...] = setting(
    (),
    checks.each(checks.integer(1)),
    'Numbers of examples to keep, beside the fractions.',
    in_names=True,
  )
  step: int = setting(
    -1,
    checks.integer(-1, words='a scored step, or -1 for the last'),
    'The scored step to select by; -1 for the last.',
    in_names=True,
  )
  class_balanced: bool = setting(
    False,
    checks.boolean,
    'Keep equally many of every class.',
    in_names=True,
  )
  budget: str = setting(
    '',
    checks.one_of(('', *BUDGETS)),
    "How many of each class are kept: 'proportional', 'balanced', "
    "'difficulty' (NUCS: in proportion to the class's scores), 'worst_class' "
    "(DRoP: to its share predicted wrong), or '' as each policy does.",
    in_names=True,
  )
  options: Mapping[str, Any] = setting(
    {},
    checks.options('a ConfigDict of options of the policies'),
    'Options of the policies, such as --config.select.options.offset=100.',
    in_names=True,
  )
  baselines: tuple[str, ...] = setting(
    ('random', 'random_balanced'),
    checks.each(checks.one_of(BASELINES)),
    'What runs beside at the same sizes.',
    in_names=True,
  )
  seed: int = setting(
    0,
    checks.integer(),
    'The seed of policies and baselines that draw; subsets that change while '
    'training go by train.data_seed.',
  )
  remake: bool = setting(
    False,
    checks.boolean,
    'Where subsets change that were trained on already (another seed, other '
    'scores, runs added): delete these retrainings and make them anew.',
  )

  @property
  def methods(self) -> tuple[tuple[str, str | None], ...]:
    """Each policy, with its own score or None for those of `scores`."""
    asked = map(methods_of, self.policies)
    return tuple(itertools.chain.from_iterable(asked))

  @property
  def policy_names(self) -> tuple[str, ...]:
    """The policies without scores of their own."""
    return tuple(policy for policy, _ in self.methods)

  @property
  def ask_what_is_hard(self) -> tuple[tuple[str, str | None], ...]:
    """What has to know which end of scores is hard, in words, and own scores.

    A score is None for those of `scores`, as in `methods`.
    """
    found = []
    for policy, score in self.methods:
      if 'higher_is' in POLICIES[policy].needs:
        found.append((f'the policy {policy!r}', score))
      elif self.budget == DIFFICULTY:
        found.append((f'select.budget={DIFFICULTY!r}', score))
    return tuple(found)

  @property
  def all_scores(self) -> tuple[str, ...]:
    """The scores of `scores`, and those that policies have of their own."""
    own = (score for _, score in self.methods if score is not None)
    return tuple(dict.fromkeys((*self.scores, *own)))

  @property
  def class_budget(self) -> str:
    """How many of each class are kept, of `BUDGETS`, or '' for the policy's."""
    return self.budget or (BALANCED if self.class_balanced else '')
