"""Checks of settings: whether a value is allowed, and what is allowed."""

import dataclasses
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

# Names as a function, called when needed: plugins may add some.
Names = Iterable[str] | Callable[[], Iterable[str]]

# Steps and seeds are 32-bit numbers on the devices.
MAX_INTEGER = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Check:
  """The allowed values of a setting.

  Attributes:
    accepts: whether a value is allowed; may be given any object.
    words: what is allowed, after "allowed: ".
    names: names that a misspelt value may have been meant for.
  """

  accepts: Callable[[Any], bool]
  words: str | Callable[[], str]
  names: Names = ()

  @property
  def allowed(self) -> str:
    """What is allowed, in words."""
    return self.words if isinstance(self.words, str) else self.words()

  @property
  def known(self) -> tuple[str, ...]:
    """The names that are allowed now; () if the values are not names."""
    return _now(self.names)


def _now(names: Names) -> tuple[str, ...]:
  return tuple(names() if callable(names) else names)


def is_integer(value: Any) -> bool:
  """Whether a value is an integer, which True is not."""
  return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: Any) -> bool:
  """Whether a value is a finite number, which True is not."""
  is_real = isinstance(value, int | float) and not isinstance(value, bool)
  return is_real and math.isfinite(value)


def integer(
  minimum: int = 0, maximum: int = MAX_INTEGER, words: str = ''
) -> Check:
  """An integer from `minimum` to `maximum`."""
  return Check(
    lambda value: is_integer(value) and minimum <= value <= maximum,
    words or f'an integer from {minimum} to {maximum}',
  )


def number(
  low: float = 0.0,
  high: float = math.inf,
  *,
  above_low: bool = False,
  below_high: bool = False,
) -> Check:
  """A finite number from `low` to `high`, perhaps without the ends."""
  if math.isinf(high):
    words = f'a number {"above" if above_low else "of at least"} {low:g}'
  else:
    words = (
      f'a number in {"(" if above_low else "["}{low:g}, '
      f'{high:g}{")" if below_high else "]"}'
    )
  return Check(
    lambda value: (
      is_number(value)
      and (low < value if above_low else low <= value)
      and (value < high if below_high else value <= high)
    ),
    words,
  )


# Shares: in [0, 1]; without 0; without 1.
share = number(0.0, 1.0)
fraction = number(0.0, 1.0, above_low=True)
proper_fraction = number(0.0, 1.0, below_high=True)
positive = number(0.0, above_low=True)
not_negative = number(0.0)


def one_of(
  names: Names, aliases: Mapping[str, str] | Iterable[str] = ()
) -> Check:
  """One of some names.

  Args:
    names: the names, a dict with them as keys, or a function that gives them;
      dicts and functions are asked when a value is checked.
    aliases: other names that stand for these; not listed.
  """

  def known() -> tuple[str, ...]:
    return (*_now(names), *aliases)

  return Check(
    lambda value: isinstance(value, str) and value in known(),
    lambda: 'one of ' + ', '.join(name or "''" for name in _now(names)),
    known,
  )


def each(check: Check, at_least_one: bool = False) -> Check:
  """A tuple or list of values that are allowed each."""
  words = 'a tuple, not empty, ' if at_least_one else 'a tuple, '
  return Check(
    lambda value: (
      isinstance(value, tuple | list)
      and all(check.accepts(item) for item in value)
      and (len(value) > 0 or not at_least_one)
    ),
    lambda: f'{words}each item {check.allowed}',
    lambda: check.known,
  )


def _is_span(value: Any) -> bool:
  return isinstance(value, tuple | list) and (
    len(value) == 0
    or (
      len(value) == 2
      and all(is_integer(end) for end in value)
      and 0 <= value[0] < value[1] <= MAX_INTEGER
    )
  )


def _is_pattern(value: Any) -> bool:
  try:
    return isinstance(value, str) and bool(re.compile(value) or True)
  except re.error:
    return False


def options(words: str) -> Check:
  """A dict of values that something else checks by name."""
  # ConfigDict is no Mapping, but has its methods.
  return Check(
    lambda value: isinstance(value, Mapping) or hasattr(value, 'to_dict'), words
  )


folds = Check(
  lambda value: is_integer(value) and (value == 0 or 2 <= value <= MAX_INTEGER),
  'an integer of folds from 2 on, 0 for none',
)
span = Check(_is_span, 'a tuple, () or (first, last) with first below last')
text = Check(lambda value: isinstance(value, str), 'a text')
name = Check(
  lambda value: isinstance(value, str) and bool(value), 'a text, not empty'
)
boolean = Check(lambda value: isinstance(value, bool), 'True or False')
pattern = Check(_is_pattern, 'a regular expression')
