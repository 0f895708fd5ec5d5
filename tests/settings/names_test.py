"""Tests of the check of options and of the hint at a misspelt name."""

import pytest

from datadiet.errors import DataDietError
from datadiet.settings import check_options, closest


@pytest.mark.parametrize(
  ('name', 'hint'),
  [
    ('keep_mx', '; did you mean keep_max?'),
    ('KEEP_MAX', '; did you mean keep_max?'),
    ('cifar10', '; did you mean CIFAR10?'),
    ('zzz', ''),
    (3, ''),
  ],
)
def test_the_closest_known_name_is_hinted_at_or_none(name, hint):
  assert closest(name, ('keep_max', 'keep_min', 'CIFAR10')) == hint


@pytest.mark.parametrize(
  ('given', 'message'),
  [
    (
      ['power', 'flor'],
      "^it has no option 'flor'; its options: power, floor;"
      ' did you mean floor\\?$',
    ),
    (['floor'], "^it needs the option 'power'; its options: power, floor$"),
  ],
)
def test_options_are_refused_by_name(given, message):
  with pytest.raises(DataDietError, match=message):
    check_options('it', given, ['power', 'floor'], needed=['power'])
