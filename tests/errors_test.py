"""Tests of the exceptions whose message the user reads."""

import pytest

from datadiet.errors import EXIT_FAILED, ConfigError, DataDietError, report


@pytest.mark.parametrize(
  'name, shown',
  [
    ('a\nb', 'a\\nb'),
    ('a\r\x1b[2Jb\u2028', 'a\\r\\x1b[2Jb\\u2028'),
    ('\udcff.png', '\\udcff.png'),
    ('é 中 🙂 \\n', 'é 中 🙂 \\n'),
  ],
)
def test_a_message_is_one_line_whatever_a_file_is_called(name, shown, capsys):
  error = DataDietError(f'{name} cannot be read')
  assert report(error) == EXIT_FAILED
  assert capsys.readouterr().err == f'datadiet: {shown} cannot be read\n'
  # Said once more, as by who adds a hint.
  assert str(ConfigError(error)) == f'{shown} cannot be read'
