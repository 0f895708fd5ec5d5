"""Checks that what the stages will import is installed, before any work."""

from collections.abc import Sequence

from datadiet.config import Config
from datadiet.runtime import extras


def check_libraries(config: Config, stage_names: Sequence[str]) -> None:
  """Refuses stages that would fail for a missing library, hours later.

  Args:
    config: the experiment, checked.
    stage_names: keys of `STAGES`.

  Raises:
    MissingLibraryError: naming the setting, the libraries and the command that
      installs them.
  """
  if 'report' in stage_names:
    libraries = (name for name, of in extras.EXTRA_OF.items() if of == 'report')
    extras.require('--stages: report', *libraries)
  selects = 'select' in stage_names or 'retrain' in stage_names
  if selects and 'prototypes' in config.select.policies:
    extras.require(
      'config.select.policies: prototypes', 'sklearn', 'threadpoolctl'
    )
