"""The exceptions that carry a message meant for the user."""

import sys

# The program's exit codes beside 0, which means that it is done.
EXIT_FAILED = 1
EXIT_WRONG_SETTING = 2
# sysexits' EX_TEMPFAIL: what launchers take for "start me again".
EXIT_STOPPED = 75


class DataDietError(Exception):
  """Something the user can put right, said in one clear sentence.

  The command line prints the message alone, without a traceback: it has to
  say what is wrong, where, and what is allowed. Names of files and classes may
  hold anything, so what is not printable is written as in Python ('\\n'): a
  message is one line, and moves no cursor.
  """

  def __init__(self, message: object = ''):
    super().__init__(
      ''.join(
        sign if sign.isprintable() else repr(sign)[1:-1]
        for sign in str(message)
      )
    )


class ConfigError(DataDietError):
  """A setting that cannot be used; found before any work is done."""


class Preempted(Exception):
  """The process was asked to stop; everything needed to resume is saved."""


def counted(number: int, noun: str) -> str:
  """A number of things for a message: '1 run', '2 runs', '3 classes'."""
  if number == 1:
    return f'1 {noun}'
  ending = 'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'
  return f'{number:,} {noun}{ending}'


def report(error: DataDietError) -> int:
  """Says an error to the user in one line; returns the exit code it means."""
  print(f'datadiet: {error}', file=sys.stderr)
  return EXIT_WRONG_SETTING if isinstance(error, ConfigError) else EXIT_FAILED
