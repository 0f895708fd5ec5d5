"""Tests of sections: what is made from a line with a default and a check."""

import dataclasses

import pytest

from datadiet.settings import (
  checks,
  defaults,
  from_values,
  section,
  setting,
  settings_of,
  to_values,
)


@dataclasses.dataclass(frozen=True)
class Inner:
  seed: int = setting(0, checks.integer(), 'Of a draw.')


@dataclasses.dataclass(frozen=True)
class Outer:
  rate: float = setting(0.5, checks.share, 'A rate.')
  steps: tuple[int, ...] = setting((), checks.each(checks.integer()), 'Steps.')
  options: dict = setting({}, checks.options('options'), 'Options.')
  inner: Inner = section(Inner)


def test_settings_have_dotted_names_in_order():
  assert list(settings_of(Outer)) == ['rate', 'steps', 'options', 'inner.seed']
  assert settings_of(Outer)['inner.seed'].help == 'Of a draw.'


def test_a_section_may_be_free_with_all_that_stands_in_it():
  @dataclasses.dataclass(frozen=True)
  class Marked:
    path: str = setting('', checks.text, 'A file.', path=True)
    fast: bool = setting(True, checks.boolean, 'Speed.', free=True)
    outer: Outer = section(Outer, free=True)
    inner: Inner = section(Inner)

  found = settings_of(Marked)
  assert [name for name in found if found[name].path] == ['path']
  fixed = [name for name in found if not found[name].free]
  assert fixed == ['path', 'inner.seed']


def test_values_go_there_and_back():
  values = {'rate': 0.1, 'steps': (1, 2), 'options': {'a': 3}}
  values['inner'] = {'seed': 4}
  made = from_values(Outer, values)
  assert made == Outer(0.1, (1, 2), {'a': 3}, Inner(4))
  assert to_values(made) == values


def test_what_is_missing_has_its_default_and_what_is_unknown_is_left_out():
  made = from_values(Outer, {'gone': 1, 'steps': [3], 'rate': 1})
  assert made == Outer(1.0, (3,), {}, Inner())
  assert isinstance(made.rate, float)
  assert defaults(Outer) == to_values(Outer())


def test_sections_cannot_be_changed_and_share_no_dicts():
  with pytest.raises(dataclasses.FrozenInstanceError):
    Outer().rate = 1.0
  Outer().options['a'] = 1
  assert Outer().options == {}


def test_choices_are_looked_up_when_a_value_is_checked():
  known = {'a': 1}
  check = checks.each(checks.one_of(known, aliases={'old_a': 'a'}))
  assert not check.accepts(('b',))
  known['b'] = 2
  assert check.accepts(('b', 'old_a'))
  assert check.known == ('a', 'b', 'old_a')
  # Names of the predecessor are taken, and not offered.
  assert check.allowed == 'a tuple, each item one of a, b'


@pytest.mark.parametrize(
  ('check', 'right', 'wrong'),
  [
    (checks.integer(1, 3), (1, 3), (0, 4, True, 1.0, '1', None)),
    (checks.share, (0, 1, 0.5), (-0.1, 1.1, float('nan'), '0', True)),
    (checks.fraction, (1, 0.1), (0, 1.1)),
    (checks.proper_fraction, (0, 0.9), (1, -0.1)),
    (checks.positive, (1e-9, 5), (0, float('inf'))),
    (checks.not_negative, (0,), (-1,)),
    (checks.name, ('a',), ('', 3)),
    (checks.boolean, (True, False), (0, 'True')),
    (checks.pattern, ('a+', ''), ('(', 3)),
    (checks.options('any'), ({},), ((), 3, None)),
  ],
)
def test_what_checks_accept(check, right, wrong):
  assert all(check.accepts(value) for value in right)
  assert not any(check.accepts(value) for value in wrong)
