"""Settings and the sections they stand in.

A section is a frozen dataclass of settings, each with its default, its check
and a line of help:

    @dataclasses.dataclass(frozen=True)
    class TrainSettings:
      num_runs: int = setting(10, checks.integer(1), 'Networks to train.')

All that is known of a setting is made from that line.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from datadiet.settings import checks
from datadiet.settings.checks import Check

_KEY = 'datadiet.setting'
_FREE = 'datadiet.free'

S = TypeVar('S')


@dataclasses.dataclass(frozen=True)
class Setting:
  """One setting.

  Attributes:
    default: the value when the user gives none.
    check: what it may be.
    help: what it does, in a line.
    free: whether it may change between two starts on one workdir, as it
      decides where things lie, how fast they go, or which artifacts are added.
    path: whether it names a file, which has to be there before data is read.
    in_names: whether the names of selections tell it.
  """

  default: Any
  check: Check
  help: str
  free: bool = False
  path: bool = False
  in_names: bool = False

  @property
  def allowed(self) -> str:
    """The allowed values, in words."""
    return self.check.allowed

  @property
  def is_group(self) -> bool:
    """Whether its values are dicts, which are set and shown as a whole."""
    return isinstance(self.default, Mapping)


def setting(default: Any, check: Check, help: str, **marks: bool) -> Any:
  """A field of a section.

  Args:
    default: the value when the user gives none.
    check: what it may be.
    help: what it does, in a line.
    **marks: free, path and in_names of `Setting`.
  """
  metadata = {_KEY: Setting(default, check, help, **marks)}
  if isinstance(default, dict):
    return dataclasses.field(default_factory=default.copy, metadata=metadata)
  return dataclasses.field(default=default, metadata=metadata)


def section(of: type, free: bool = False) -> Any:
  """A field that holds a section of its own, whose settings may all be free."""
  metadata = {_KEY: of, _FREE: free}
  return dataclasses.field(default_factory=of, metadata=metadata)


def settings_of(section_type: type, prefix: str = '') -> dict[str, Setting]:
  """All settings by dotted name, those of sections within too, in order."""
  found = {}
  for field in dataclasses.fields(section_type):
    what = field.metadata[_KEY]
    if isinstance(what, Setting):
      found[f'{prefix}{field.name}'] = what
      continue
    within = settings_of(what, f'{prefix}{field.name}.')
    if field.metadata[_FREE]:
      within = {
        name: dataclasses.replace(one, free=True)
        for name, one in within.items()
      }
    found |= within
  return found


def _members(section_type: type) -> Iterator[tuple[str, Any]]:
  """(name, Setting or section type) of everything in a section."""
  for field in dataclasses.fields(section_type):
    yield field.name, field.metadata[_KEY]


def defaults(section_type: type) -> dict[str, Any]:
  """The defaults, as nested dicts."""
  return {
    name: ({**what.default} if what.is_group else what.default)
    if isinstance(what, Setting)
    else defaults(what)
    for name, what in _members(section_type)
  }


def from_values(section_type: type[S], values: Mapping[str, Any]) -> S:
  """A section with these values; what is missing has its default.

  Args:
    section_type: the section.
    values: nested dicts. Lists are taken for tuples and integers for floats
      where these are meant; what the section does not have is left out.

  Raises:
    TypeError: if they are no dict.
  """
  if not isinstance(values, Mapping):
    raise TypeError(f'settings must be a dict, they are {values!r}')
  given = {}
  for name, what in _members(section_type):
    if name not in values:
      continue
    value = values[name]
    if not isinstance(what, Setting):
      value = from_values(what, value)
    elif what.is_group and isinstance(value, Mapping):
      value = dict(value)
    elif isinstance(value, list):
      value = tuple(value)
    elif isinstance(what.default, float) and checks.is_integer(value):
      value = float(value)
    given[name] = value
  return section_type(**given)


def to_values(of: Any) -> dict[str, Any]:
  """A section's values, as nested dicts."""
  return {
    name: (
      getattr(of, name)
      if isinstance(what, Setting)
      else to_values(getattr(of, name))
    )
    for name, what in _members(type(of))
  }
