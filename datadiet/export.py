"""Writes a selection in a format that other tools read.

    datadiet export --workdir=DIR --selection=NAME \\
        --format=image_folder --output=PATH

Exit codes: 0 done, 1 failed, 2 a wrong flag.
"""

import sys

from absl import flags, logging

from datadiet.errors import ConfigError, DataDietError, report
from datadiet.runtime import extras

try:
  extras.require('datadiet export', 'pandas')
except DataDietError as _error:
  if __name__ != '__main__':
    raise
  sys.exit(report(_error))

from datadiet.config import command_line
from datadiet.exporting import EXPORTS, export_selection

_WORKDIR = flags.DEFINE_string('workdir', None, 'Where the results are.')
_SELECTION = flags.DEFINE_string(
  'selection', None, 'Which subset: a name in WORKDIR/selections, or all.'
)
_FORMAT = flags.DEFINE_string(
  'format',
  None,
  '; '.join(f'{name}: {form.summary}' for name, form in EXPORTS.items()),
)
_OUTPUT = flags.DEFINE_string(
  'output', None, 'The file or folder to make; it must not exist yet.'
)
_RUN = flags.DEFINE_integer(
  'run', 0, 'Which draw, where each retraining has one of its own.', 0
)
_STEP = flags.DEFINE_integer(
  'step', -1, 'The scored step that a table is of; -1 for the last.', -1
)
_LINK = flags.DEFINE_bool(
  'link', False, 'Link images to the originals where the format has them.'
)


def _main(argv: list[str]) -> int:
  if argv[1:]:
    raise ConfigError(f'unexpected argument {argv[1]!r}')
  needed = (_WORKDIR, _SELECTION, _FORMAT, _OUTPUT)
  given = [command_line.required(flag) for flag in needed]
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.INFO)
  export_selection(
    *given,
    run=_RUN.value,
    step=None if _STEP.value < 0 else _STEP.value,
    link=_LINK.value,
  )
  return 0


def main() -> None:
  """Runs the program on the command line and exits."""
  command_line.run_command(_main, __doc__)


if __name__ == '__main__':
  main()
