"""Finds out which training examples matter: train, score, select, retrain.

    python -m datadiet.main --config=configs/cnn_digits.py --workdir=DIR

Overrides are given as --config.train.num_runs=3. Run it again to go on where
it was stopped. Exit codes: 0 done, 1 failed, 2 a wrong setting, 75 stopped by
SIGTERM or SIGINT with everything saved (start it again).
"""

import logging as std_logging
import os
import signal
import sys
from collections.abc import Callable

if __name__ == '__main__':
  # The imports take seconds, in which nothing is unsaved: 75 is
  # `stopping.EXIT_CODE`, start me again.
  for _number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(_number, lambda *unused: os._exit(75))

from absl import app, flags, logging
from ml_collections import config_flags

from datadiet import command_line, sweep
from datadiet import config as config_lib
from datadiet.errors import ConfigError, DataDietError, Preempted, report
from datadiet.runtime import compilation, processes, stopping
from datadiet.workdir import storage

_CONFIG = config_flags.DEFINE_config_file(
  'config',
  None,
  'The experiment, a file like those in configs/.',
  # For --config.select.options.NAME; other new settings are refused.
  lock_config=False,
  accept_new_attributes=True,
)
_WORKDIR = flags.DEFINE_string(
  'workdir', None, 'Where results go; may be on gs:// or s3://.'
)
_COORDINATOR_ADDRESS = flags.DEFINE_string(
  'coordinator_address',
  None,
  'HOST:PORT of process 0, where nothing else says who takes part (Slurm, Open '
  'MPI and TPU hosts do).',
)
_NUM_PROCESSES = flags.DEFINE_integer(
  'num_processes', None, 'How many processes take part.'
)
_PROCESS_ID = flags.DEFINE_integer(
  'process_id', None, 'The number of this one, from 0.'
)
_SWEEP_INDEX = flags.DEFINE_integer(
  'sweep_index',
  None,
  "Which combination of config.sweep to run, from 0; all, or Slurm's array "
  'index, if not given. Not where combinations share a workdir.',
)
_STAGES = flags.DEFINE_list(
  'stages',
  ['train', 'score', 'audit', 'select', 'retrain', 'report'],
  'The stages to run, in this order.',
)


def run(config, workdir: str, stage_names: list[str]) -> None:
  """Runs the stages.

  Args:
    config: the experiment, not yet checked.
    workdir: where results go.
    stage_names: keys of `stages.STAGES`.

  Raises:
    DataDietError: with one sentence for the user.
    Preempted: if the process was asked to stop; everything is saved.
  """
  config_lib.check(config)
  config = config_lib.resolve(config)
  compilation.enable_compilation_cache(config.compilation_cache_dir)
  # Imported late: a wrong setting is answered before JAX looks for devices.
  from datadiet import pipeline

  pipeline.run(config, workdir, stage_names)


def _set_up_logging() -> None:
  """Shows this project's lines, and of the libraries' only warnings."""
  if not flags.FLAGS['verbosity'].present:
    logging.set_verbosity(logging.INFO)
  package = os.path.dirname(__file__)

  def is_shown(record: std_logging.LogRecord) -> bool:
    if record.pathname.startswith(package):
      return True
    # Orbax warns of every checkpoint that a process writes for itself, and says
    # in its threads, with tracebacks, what it raises, too.
    is_noise = 'Skipping merge of OCDBT' in record.getMessage() or (
      record.levelno >= std_logging.ERROR
      and '/orbax/checkpoint/' in record.pathname
    )
    return record.levelno >= std_logging.WARNING and not is_noise

  logging.get_absl_handler().addFilter(is_shown)


def _main(argv: list[str]) -> int:
  if argv[1:]:
    raise ConfigError(
      f'unexpected argument {argv[1]!r}; settings are given '
      'as --config.SECTION.FIELD=VALUE'
    )
  for flag, value in (('config', _CONFIG.value), ('workdir', _WORKDIR.value)):
    if not value:
      raise ConfigError(f'--{flag} is missing')
  _set_up_logging()
  children = _children()
  with stopping.handle_signals():  # The others may take minutes to come.
    processes.initialize(
      _COORDINATOR_ADDRESS.value, _NUM_PROCESSES.value, _PROCESS_ID.value
    )
  # Again: joining other processes sets a handler of its own.
  return _together(lambda: _run_all(children))


def _together(work: Callable[[], None]) -> int:
  """Runs what all processes do until all end; the exit code of one alone."""
  with (
    stopping.handle_signals(processes.say_stopped),
    processes.following_stops(stopping.follow_others),
  ):
    try:
      work()
    except Preempted:
      logging.info('Stopped; run the same command again to go on')
      processes.leave_together(stopping.EXIT_CODE)
      # Taking down all that was imported would take seconds more.
      sys.stdout.flush()
      stopping.end_at_once()
    return processes.leave_together(0)


def _run_all(children: list[sweep.Child]) -> None:
  if children:
    sweep.run(
      children,
      sweep.chosen(children, _SWEEP_INDEX.value),
      _WORKDIR.value,
      lambda config, workdir: run(config, workdir, _STAGES.value),
    )
  else:
    run(_CONFIG.value, _WORKDIR.value, _STAGES.value)


def _children() -> list[sweep.Child]:
  """The combinations of a sweep, or none; checks all of them and the flags."""
  config = _CONFIG.value
  config_lib.check(config)
  swept = list(config_lib.flatten(config.sweep))
  children = sweep.expand(config, _WORKDIR.value) if swept else []
  sweep.chosen(children, _SWEEP_INDEX.value)
  return children


def _guarded(argv: list[str]) -> int:
  """Runs, and turns errors meant for the user into one line."""
  try:
    return _main(argv)
  except DataDietError as error:
    logging.debug('Where it came from:', exc_info=True)
    return processes.leave(report(error))
  except Exception as error:
    if told := storage.error_of_store(error):
      logging.debug('Where it came from:', exc_info=True)
      return processes.leave(report(told))
    if not processes.has_peers():
      raise
    if stopping.stop_requested() or processes.others_stopped():
      logging.info('Stopped, as the others were', exc_info=True)
      if processes.others_stopped():
        processes.part()
      return processes.leave(stopping.EXIT_CODE)
    logging.exception('Failed')
    return processes.leave(1)


def _parse_flags(argv: list[str]) -> list[str]:
  """Parses flags; a wrong one ends the program with one line and code 2."""
  try:
    return command_line.parse(argv)
  except ConfigError as error:
    print(f'datadiet: {error}', file=sys.stderr)
    sys.exit(2)


if __name__ == '__main__':
  app.run(_guarded, flags_parser=_parse_flags)
