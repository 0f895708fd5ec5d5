"""The command `datadiet`, also `python -m datadiet`: runs `datadiet.main`.

`datadiet import` runs `datadiet.importer`.
"""

import sys

from datadiet.runtime import starting


def main() -> None:
  """Runs the program on the command line and exits."""
  starting.stop_while_importing()
  starting.keep_to_the_cpu_for_forecasts()
  # Imported late: this takes seconds.
  if sys.argv[1:2] == ['import']:
    from datadiet import importer

    del sys.argv[1]
    importer.main()
    return
  from datadiet import main as program

  program.main()


if __name__ == '__main__':
  main()
