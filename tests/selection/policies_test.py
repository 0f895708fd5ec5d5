"""Tests the registry and the check of names and options."""

import inspect

import pytest

from datadiet.errors import DataDietError
from datadiet.selection import ALIASES, POLICIES, check_policy


@pytest.mark.parametrize('name', POLICIES)
def test_options_of_the_registry_are_those_of_the_function(name):
  policy = POLICIES[name]
  if policy.function is not None:
    parameters = list(inspect.signature(policy.function).parameters)
    assert parameters[:3] == ['inputs', 'num_keep', 'rng']
    assert parameters[3:] == list(policy.options)
  for spec in policy.options.values():
    assert spec.check.accepts(spec.default)
    assert not spec.check.accepts(None)
    assert not spec.check.accepts('no')


@pytest.mark.parametrize('alias', ALIASES)
def test_the_first_code_s_names_are_aliases(alias):
  assert check_policy(alias)[0] == ALIASES[alias]
  assert alias not in POLICIES


def test_defaults_are_filled_in():
  assert check_policy('ccs', {'num_strata': 20}) == (
    'ccs',
    {'cutoff_fraction': 0.1, 'num_strata': 20},
  )


def test_an_unknown_policy_gets_the_closest_and_the_known():
  with pytest.raises(DataDietError, match='did you mean keep_max') as error:
    check_policy('keep_mx')
  for name in POLICIES:
    assert name in str(error.value)


def test_an_unknown_option_gets_the_closest():
  with pytest.raises(DataDietError, match='did you mean drop_fraction'):
    check_policy('top_window', {'drop_fration': 0.2})
  with pytest.raises(DataDietError, match='its options: none'):
    check_policy('keep_max', {'offset': 1})


@pytest.mark.parametrize(
  'name, option, value',
  [
    ('offset', 'offset', -1),
    ('offset', 'offset', 1.5),
    ('offset', 'offset', True),
    ('top_window', 'drop_fraction', 1.0),
    ('top_window', 'drop_fraction', float('nan')),
    ('ccs', 'cutoff_fraction', -0.1),
    ('ccs', 'num_strata', 0),
    ('beta', 'c_d', 0),
    ('beta', 'c_d', float('inf')),
    ('prototypes', 'keep', 'middle'),
    ('prototypes', 'num_clusters', -3),
    ('prototypes', 'distance', 'l1'),
    ('infobatch', 'prune_fraction', 1.0),
    ('infobatch', 'full_fraction', 1.5),
  ],
)
def test_a_bad_value_names_option_value_and_what_is_allowed(
  name, option, value
):
  with pytest.raises(DataDietError) as error:
    check_policy(name, {option: value})
  message = str(error.value)
  for part in (
    option,
    name,
    repr(value),
    POLICIES[name].options[option].allowed,
  ):
    assert part in message
