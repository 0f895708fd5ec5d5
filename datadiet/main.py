"""Finds out which training examples matter: train, score, select, retrain.

    python -m datadiet.main --config=configs/cnn_digits.py --workdir=DIR

Overrides are given as --config.train.num_runs=3. Run it again to resume where
it was stopped. Exit codes: 0 done, 1 failed, 2 a wrong setting, 75 stopped by
SIGTERM or SIGINT with everything saved (start it again).
"""

import logging as std_logging
import os

from datadiet.errors import ConfigError
from datadiet.runtime import starting

if __name__ == '__main__':
  starting.stop_while_importing()
  starting.keep_to_the_cpu_for_forecasts()

import ml_collections
from absl import app, flags, logging

from datadiet import config as config_lib
from datadiet.config import flags as program_flags
from datadiet.config import sweep
from datadiet.forecast import flags as forecast_flags
from datadiet.runtime import compilation, ending, processes, stopping
from datadiet.workdir import storage


def run(
  config: ml_collections.ConfigDict, workdir: str, stage_names: list[str]
) -> None:
  """Runs the stages.

  Args:
    config: the experiment, not yet checked.
    workdir: where results go.
    stage_names: keys of `stages.STAGES`.

  Raises:
    DataDietError: with one sentence for the user.
    Preempted: if the process was asked to stop; everything is saved.
  """
  config_lib.check(config, stages=stage_names)
  resolved = config_lib.resolve(config)
  compilation.enable_compilation_cache(resolved.compilation_cache_dir)
  # Imported late: a wrong setting is answered before JAX looks for devices.
  from datadiet import pipeline

  pipeline.run(resolved, workdir, stage_names)


def _set_up_logging() -> None:
  """Shows this project's lines, and of the libraries' only warnings."""
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.INFO)

  def is_shown(record: std_logging.LogRecord) -> bool:
    if record.pathname.startswith(os.path.dirname(__file__)):
      return True
    return record.levelno >= std_logging.WARNING

  logging.get_absl_handler().addFilter(is_shown)


def _main(argv: list[str]) -> int:
  if argv[1:]:
    raise ConfigError(
      f'unexpected argument {argv[1]!r}; settings are given '
      'as --config.SECTION.FIELD=VALUE'
    )
  asked = forecast_flags.requested()
  given = program_flags.given(needs_workdir=asked is None)
  _set_up_logging()
  if asked:
    # Imported late, as everything that sets JAX up.
    from datadiet.forecast import table

    text, fits = table.forecast(given.config, asked, given.stages)
    print(text)
    return 0 if fits else 1
  children = sweep.children_of(
    given.config, given.workdir, given.sweep_index, given.stages
  )
  with stopping.handle_signals():  # The others may take minutes to come.
    processes.initialize(
      given.coordinator_address,
      given.num_processes,
      given.process_id,
      given.join_seconds,
    )

  def run_all() -> None:
    if given.stored_in and processes.is_lead():
      logging.info('Settings: those of %s', given.stored_in)
    if not children:
      return run(given.config, given.workdir, given.stages)
    from datadiet import pipeline

    pipeline.run_sweep(
      children,
      sweep.chosen(children, given.sweep_index),
      given.workdir,
      lambda config, workdir: run(config, workdir, given.stages),
    )

  # Handles signals again: joining other processes sets a handler of its own.
  return ending.run_to_end(run_all)


def main() -> None:
  """Runs the program on the command line and exits."""
  app.run(
    ending.guarded(_main, storage.as_store_error),
    flags_parser=ending.parse_or_exit(program_flags.parse),
  )


if __name__ == '__main__':
  main()
