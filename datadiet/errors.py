"""The exceptions that carry a message meant for the user."""

import sys


class DataDietError(Exception):
  """Something the user can put right, said in one clear sentence.

  The command line prints the message alone, without a traceback: it has to
  say what is wrong, where, and what is allowed.
  """


class ConfigError(DataDietError):
  """A setting that cannot be used; found before any work is done."""


class Preempted(Exception):
  """The process was asked to stop; everything needed to go on is saved."""


def report(error: DataDietError) -> int:
  """Says an error to the user in one line; returns the exit code it means."""
  print(f'datadiet: {error}', file=sys.stderr)
  return 2 if isinstance(error, ConfigError) else 1
