"""Tests of the table of scores."""

import dataclasses

import pytest

from datadiet.errors import DataDietError
from datadiet.scoring import registry
from datadiet.training import recorders
from tools import scores_table


def test_aliases_are_resolved_and_repetitions_dropped():
  names = ('l2_error', 'el2n', 'forget', 'grad_norm', 'l1_error')
  assert registry.resolve(names) == ('el2n', 'forgetting', 'grand', 'el1n')


def test_unknown_scores_are_refused():
  with pytest.raises(DataDietError) as caught:
    registry.resolve(['el2m'])
  message = str(caught.value)
  assert message.startswith("unknown score 'el2m'; known are el2n, el1n, ")
  assert message.endswith('did you mean el2n?')


@pytest.mark.parametrize('name', list(registry.SCORES))
def test_every_score_says_what_it_is(name):
  statement = registry.SCORES[name].statement()
  assert statement['higher_is'] in ('harder', 'easier', 'neither')
  assert statement['mode'] in ('eval', 'train', None)
  for key in ('definition', 'based_on', 'source', 'kind'):
    assert statement[key], key


def test_which_end_is_hard():
  easier = {'aum', 'confidence', 'correctness', 'mean_confidence'}
  for name in ('el2n', 'grand', 'loss', 'entropy', 'forgetting', 'max_margin'):
    assert registry.SCORES[name].higher_is == 'harder', name
  for name in easier:
    assert registry.SCORES[name].higher_is == 'easier', name


def test_the_documentation_says_what_the_registry_does():
  page = scores_table.PAGE.read_text()
  assert page == scores_table.updated(page), (
    'the table of docs/scores.md is not that of the registry: '
    'python -m tools.scores_table rewrites it'
  )


def test_a_score_more_is_a_row_more_of_the_documentation(monkeypatch):
  mine = dataclasses.replace(
    registry.SCORES['aum'], definition='|p|', source='me'
  )
  monkeypatch.setitem(registry.SCORES, 'mine', mine)
  page = scores_table.PAGE.read_text()
  row = '| `mine` | \\|p\\| | lower | dynamics | me |\n'
  assert scores_table.updated(page) == page.replace(
    '\n\nThe predecessor', f'\n{row}\nThe predecessor', 1
  )


def test_two_recorders_of_one_name_are_refused(monkeypatch):
  aum, dual = registry.SCORES['aum'], registry.SCORES['dual']
  other = dataclasses.replace(recorders.WINDOWS, update=lambda at, visit: at)
  mine = dataclasses.replace(aum, recorders=(other,))
  monkeypatch.setitem(registry.SCORES, 'mine', mine)
  assert registry.recorders_for(['mine', 'aum']) == (other,)
  assert registry.recorders_for(['dual', 'dyn_unc']) == dual.recorders
  with pytest.raises(DataDietError, match="'mine' has a recorder 'windows'"):
    registry.recorders_for(['dual', 'mine'])


def test_aliases_are_no_scores():
  assert not set(registry.ALIASES) & set(registry.SCORES)
  assert set(registry.ALIASES.values()) <= set(registry.SCORES)


def test_of_kind_keeps_the_order():
  names = ('aum', 'grand', 'loss', 'el2n', 'input_norm')
  kinds = (registry.FORWARD, registry.DATA)
  assert registry.of_kind(names, *kinds) == ('loss', 'el2n', 'input_norm')
