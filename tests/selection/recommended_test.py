"""Tests what select.policies=auto stands for."""

from pathlib import Path

import pytest

from datadiet import config as config_lib
from datadiet.configs import base
from datadiet.errors import ConfigError
from datadiet.selection import POLICIES, check_policy
from datadiet.selection.recommended import METHODS, recommended_options

_PAGE = Path(__file__).parents[2] / 'docs' / 'which_method.md'


def test_it_is_what_the_page_recommends():
  page = _PAGE.read_text()
  for policy, score in METHODS:
    assert f'`{policy}:{score}`' in page if score else f'`{policy}`' in page
    reads = 'scores' in POLICIES[policy].needs
    assert reads == (score is not None)
    for fraction in (0.05, 0.1, 0.2, 0.5, 0.9):
      check_policy(policy, recommended_options(policy, fraction))


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
