"""The hint at the known name that is closest to a misspelt one."""

import difflib
from collections.abc import Iterable


def closest(name: object, known: Iterable[str]) -> str:
  """'; did you mean X?' for the known name most like `name`, or ''."""
  names = {other.lower(): other for other in known}
  match = difflib.get_close_matches(str(name).lower(), names, 1, 0.5)
  return f'; did you mean {names[match[0]]}?' if match else ''
