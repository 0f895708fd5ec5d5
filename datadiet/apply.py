"""Makes new labels of what people decided about the examples of a workdir.

    datadiet apply WORKDIR --decisions=FILE --out=DIR

FILE is a CSV file of the columns example_index,id,decision,label (and
fingerprint), as the report's page and `datadiet review` write it; a decision is
keep, relabel, drop or unsure. DIR gets labels.csv for
--config.dataset.labels_path, kept.npy for --config.train.subset_path,
dropped.csv and summary.json. Exit codes: 0 done, 1 failed, 2 a wrong flag.
"""

import sys

from absl import flags, logging

from datadiet.errors import DataDietError, report
from datadiet.runtime import extras

try:
  extras.require('datadiet apply', 'pandas')
except DataDietError as _error:
  if __name__ != '__main__':
    raise
  sys.exit(report(_error))

from datadiet.config import command_line
from datadiet.reviewing import apply_decisions

_DECISIONS = flags.DEFINE_string(
  'decisions', None, 'The CSV file of what was decided.'
)
_OUT = flags.DEFINE_string(
  'out', None, 'The folder to make; it must not exist yet.'
)


def _main(argv: list[str]) -> int:
  workdir = command_line.only_argument(argv, 'WORKDIR')
  given = [command_line.required(flag) for flag in (_DECISIONS, _OUT)]
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.INFO)
  apply_decisions(workdir, *given)
  return 0


def main() -> None:
  """Runs the program on the command line and exits."""
  command_line.run_command(_main, __doc__)


if __name__ == '__main__':
  main()
