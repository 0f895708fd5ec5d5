"""What a setting is: its default, check and line of help; and plugins."""

from datadiet.settings.checks import Check
from datadiet.settings.names import HIGHER_IS, check_options, closest
from datadiet.settings.section import (
  Setting,
  defaults,
  from_values,
  section,
  setting,
  settings_of,
  to_values,
)

__all__ = [
  'HIGHER_IS',
  'Check',
  'Setting',
  'check_options',
  'closest',
  'defaults',
  'from_values',
  'section',
  'setting',
  'settings_of',
  'to_values',
]
