"""What tests with mutated inputs share: how many, odd names, what a refusal is.

`make test-field` gives a thousand inputs, the tests otherwise a tenth of them.
DATADIET_FRESH_INPUTS=1 makes other ones than last time.
"""

import logging
import os
import tempfile
import unicodedata
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from datadiet.errors import DataDietError

# Of all kinds together.
NUM_INPUTS = int(os.environ.get('DATADIET_MUTATED_INPUTS') or 100)
# What became of the inputs: (kind, 'read' or 'refused') -> how many.
OUTCOMES: Counter[tuple[str, str]] = Counter()


def inputs(share: float) -> settings:
  """Settings of a test that takes a share of all inputs."""
  return settings(
    max_examples=max(1, round(share * NUM_INPUTS)),
    derandomize='DATADIET_FRESH_INPUTS' not in os.environ,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    print_blob=False,
  )


def read_or_refused(kind: str, read, *arguments, **changes):
  """What a loader gives; None where it refuses in one line.

  Any other exception than the project's own is an error of the test.
  """
  logging.disable(logging.CRITICAL)  # Odd names would fill the screen.
  try:
    result = read(*arguments, **changes)
  except DataDietError as error:
    text = str(error)
    assert text and len(text.splitlines()) == 1 and text.isprintable(), text
    OUTCOMES[kind, 'refused'] += 1
    return None
  finally:
    logging.disable(logging.NOTSET)
  OUTCOMES[kind, 'read'] += 1
  return result


@contextmanager
def folder():
  """A new folder for one input; pytest's is for all inputs of a test."""
  with tempfile.TemporaryDirectory(prefix='datadiet-test-') as path:
    yield Path(path)


# Letters, marks that combine, separators of lines and of tables, signs that
# shells and globs take for more, right-to-left and wide letters, emoji.
_LETTERS = 'abcXYZ019éüßñİıſΣςЖ中한🙂\u0301\u0308\u200d\u00a0\u2028\u2029\u0085'
_SIGNS = ' \t\n\r,;:|"\'`*?[]{}()<>#%&$!~@^+=-_.\\\u202e\ufeff'
_WORDS = (
  'cat dog Dog train Test val steam_train test_tube images 007 7 seven nan '
  'None true label id café cafe\u0301 Å Å a.png CON .hidden @eaDir Thumbs.db '
  'data archive 2019 1e3 -1 0x10'
).split()


_TEXTS = st.one_of(
  st.sampled_from(_WORDS),
  st.text(_LETTERS, min_size=1, max_size=6),
  st.text(_LETTERS + _SIGNS, min_size=1, max_size=6),
  st.sampled_from(_WORDS).map(lambda word: unicodedata.normalize('NFD', word)),
)
# What a file system takes for the name of a file or folder.
NAMES = _TEXTS.filter(lambda name: name not in ('.', '..'))
