"""Names that the user gives: the check of options, the hint at a typo."""

import difflib
from collections.abc import Iterable

from datadiet.errors import DataDietError

# What may be said of a score: which end of it is hard.
HIGHER_IS = ('harder', 'easier', 'neither')


def closest(name: object, known: Iterable[str]) -> str:
  """'; did you mean X?' for the known name most like `name`, or ''."""
  names = {other.lower(): other for other in known}
  match = difflib.get_close_matches(str(name).lower(), names, 1, 0.5)
  return f'; did you mean {names[match[0]]}?' if match else ''


def check_options(
  owner: str,
  given: Iterable[str],
  known: Iterable[str],
  needed: Iterable[str] = (),
) -> None:
  """Checks the names of options that the user gives to something.

  Args:
    owner: what the options are of, such as "model 'simple_cnn'".
    given: the names of the options given.
    known: the names of the options it has.
    needed: those among them that have no default.

  Raises:
    DataDietError: names the first option that is unknown or missing.
  """
  given, known = tuple(given), tuple(known)
  its_options = f'its options: {", ".join(known) or "none"}'
  for option in given:
    if option not in known:
      raise DataDietError(
        f'{owner} has no option {option!r}; {its_options}'
        f'{closest(option, known)}'
      )
  for option in needed:
    if option not in given:
      raise DataDietError(f'{owner} needs the option {option!r}; {its_options}')
