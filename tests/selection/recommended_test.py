"""Tests what select.policies=auto stands for."""

import re
from pathlib import Path

import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet.configs import base
from datadiet.errors import ConfigError
from datadiet.selection import (
  POLICIES,
  SelectionInputs,
  num_kept,
  select_examples,
)
from datadiet.selection.budgets import proportional_quotas
from datadiet.selection.recommended import METHODS, recommended_options

_PAGE = Path(__file__).parents[2] / 'docs' / 'which_method.md'


def _recommended() -> set[str]:
  """The methods of the page's first table, whose second column names them."""
  page = _PAGE.read_text()
  table = page[page.index('| you want | use |') :].split('\n\n')[0]
  uses = [line.split('|')[2] for line in table.splitlines()[2:]]
  return set(re.findall(r'`([^`]+)`', ' '.join(uses[:2])))


def test_it_is_what_the_page_recommends():
  names = {
    f'{policy}:{score}' if score else policy for policy, score in METHODS
  }
  # Its first two rows: a subset that stays, and a cheaper training.
  assert names == _recommended()
  for policy, score in METHODS:
    reads = 'scores' in POLICIES[policy].needs
    assert reads == (score is not None)


@pytest.mark.parametrize('num_examples', [1435, 1000, 50])
@pytest.mark.parametrize('fraction', [1.0, 0.95, 0.9, 0.5, 0.1])
def test_it_can_be_made_at_any_size(num_examples, fraction):
  rng = np.random.default_rng(0)
  labels = np.sort(rng.integers(0, 4, num_examples)).astype(np.int32)
  inputs = SelectionInputs(
    labels, 4, scores=rng.uniform(size=num_examples), higher_is='easier'
  )
  kept = num_kept(fraction, num_examples)
  sizes = np.bincount(labels)
  of_all = np.array([kept]), np.array([num_examples])
  quotas = proportional_quotas(kept, sizes)
  for groups, by_class in ((of_all, None), ((quotas, sizes), quotas)):
    options = recommended_options('ccs', fraction, *groups)
    assert len(str(options)) < 30  # It is part of a name.
    found = select_examples(
      'ccs', inputs, kept, quotas=by_class, options=options
    )
    assert len(found) == kept
  # Its own default, wherever that can be.
  is_less = bool(recommended_options('ccs', 0.5, *of_all))
  assert is_less == (kept > 0.9 * num_examples)


def _config(**changes):
  config = base.get_config()
  config.select.policies = ('auto',)
  for name, value in changes.items():
    setattr(config.select, name, value)
  config_lib.check(config)
  return config_lib.resolve(config).select


def test_it_is_settled_when_subsets_are_planned():
  select = _config()
  assert select.policies == ('auto',)
  assert select.policy_names == ('ccs', 'rs2')
  assert 'aum' in select.all_scores


def test_its_score_has_to_be_computed():
  config = base.get_config()
  config.select.policies = ('auto',)
  config.score.names = ('el2n',)
  with pytest.raises(ConfigError, match="'aum' is not computed"):
    config_lib.check(config)
