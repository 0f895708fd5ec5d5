"""The sizes of selections, and the names of their folders."""

import math
import os
import re
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from datadiet.errors import DataDietError
from datadiet.selection.budgets import DIFFICULTY, WORST_CLASS
from datadiet.selection.interface import Policy
from datadiet.selection.policies import POLICIES, check_policy


def num_kept(fraction_or_size: float | int, num_examples: int) -> int:
  """The number of examples that a fraction or a size asks for.

  Args:
    fraction_or_size: a float is a fraction in (0, 1], rounded to the nearest
      number of examples (half up); an int is a size. So 1.0 is all, 1 is one.
    num_examples: the number of examples to choose from.

  Raises:
    DataDietError: outside these ranges, or a fraction that keeps nothing.
  """
  value = fraction_or_size
  if isinstance(value, int | np.integer) and not isinstance(value, bool):
    if not 1 <= value <= num_examples:
      raise DataDietError(
        f'a selection of {value} examples was asked for, but a size has to be '
        f'from 1 to the number of examples, {num_examples} (fractions need a '
        'decimal point)'
      )
    return int(value)
  if not isinstance(value, float | np.floating) or not 0 < value <= 1:
    raise DataDietError(
      f'{value!r} is no selection size: it has to be a fraction above 0.0 and '
      'up to 1.0, or an integer number of examples'
    )
  size = math.floor(float(value) * num_examples + 0.5)
  if size == 0:
    raise DataDietError(
      f'a fraction of {value} of {num_examples} examples keeps none; it has to '
      'keep at least one'
    )
  return size


def _safe(part: Any) -> str:
  """A text with only letters, digits, '.', '-' and '_'."""
  text = repr(part) if isinstance(part, float) else str(part)
  return re.sub(r'[^A-Za-z0-9._-]', '-', text).lstrip('.')


def name_of_file(path: str | os.PathLike) -> str:
  """What selections by a user's file are called: its name without ending."""
  name = os.path.basename(path).removesuffix('.npz').removesuffix('.npy')
  return _safe(name)


def reads_a_step(arrays: Collection[str], budget: str = '') -> bool:
  """Whether a selection depends on what is known of a scored step.

  Args:
    arrays: what its policy reads of a workdir, of `ARRAYS`.
    budget: how many of each class are kept, of `BUDGETS`, or ''.
  """
  return bool(arrays) or budget in (DIFFICULTY, WORST_CLASS)


def _own_embeddings(policy: Policy) -> list[str]:
  """What a policy looks at if the user does not say, where it does at all."""
  known = (policy.embeddings, *(policy.needs & {'features'}))
  for name in (*known, *(policy.needs & {'pred_probs'})):
    if name:
      return [name]
  return []


def selection_name(
  score: str | None,
  step: int | None,
  policy: str,
  num_keep: int,
  class_balanced: bool = False,
  options: Mapping[str, Any] | None = None,
  looks_at: str = '',
  budget: str = '',
) -> str:
  """The folder of a selection, for example 'el2n_step_7800_keep_max_25000'.

  Options that differ from their defaults and a class balance are added:
  'aum_step_78000_ccs_5000_balanced_cutoff_fraction_0.3'. A random selection is
  'random_25000', whatever the score; one by features, gradients or predictions
  names these instead of a score.

  Args:
    score: the name of the score, or None where the policy reads none.
    step: the step of the scores or features, or None where there is none, as
      for scores from a file.
    policy: a name in POLICIES or ALIASES.
    num_keep: the number of examples kept.
    class_balanced: whether the selection is class-balanced.
    options: the options given.
    looks_at: embeddings that the policy looks at, where they are not those of
      its own: 'features', 'gradients', or the name of the user's file.
    budget: how many of each class are kept, of `BUDGETS`, where classes are
      not balanced; by difficulty that of the score, whatever the policy.

  Raises:
    DataDietError: an unknown policy or option, or a score that is missing.
  """
  name, values = check_policy(policy, options)
  specs = POLICIES[name].options
  parts: list[Any] = []
  if 'scores' in POLICIES[name].needs or budget == DIFFICULTY:
    if not score:
      raise DataDietError(f'policy {name!r} needs the name of a score')
    parts.append(score)
  if looks_at:
    parts.append(looks_at)
  elif not parts:
    parts += _own_embeddings(POLICIES[name])
  if not parts and budget == WORST_CLASS:
    parts.append('pred_probs')
  if step is not None and reads_a_step(POLICIES[name].arrays(), budget):
    parts += ['step', step]
  parts += [name, num_keep]
  if class_balanced:
    parts.append('balanced')
  elif budget:
    parts.append(budget)
  for option, value in values.items():
    if value != specs[option].default:
      # 0 and 0.0 are the same selection, so they get the same name.
      is_float = isinstance(specs[option].default, float)
      parts += [option, float(value) if is_float else value]
  return '_'.join(_safe(part) for part in parts)
