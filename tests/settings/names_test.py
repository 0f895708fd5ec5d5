"""Tests of the hint at a misspelt name."""

import pytest

from datadiet.settings import closest


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
