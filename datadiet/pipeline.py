"""Runs stages on one workdir: opens it, shows the plan, and goes through it."""

import contextlib
import time
from collections.abc import Callable, Sequence

import jax
import ml_collections
from absl import logging

from datadiet import config as config_lib
from datadiet.config import Config, sweep
from datadiet.data import Dataset, load_dataset
from datadiet.data.checks import class_counts
from datadiet.data.settings import DatasetSettings
from datadiet.errors import EXIT_STOPPED, ConfigError, DataDietError, Preempted
from datadiet.runtime import ending, processes
from datadiet.runtime.progress import format_seconds
from datadiet.settings import closest, plugins
from datadiet.stages import STAGES, draws, report
from datadiet.stages.checks import (
  check_against_data,
  check_libraries,
  check_paths,
)
from datadiet.stages.context import Context
from datadiet.stages.due import check_due
from datadiet.stages.opening import (
  open_config,
  open_dataset,
  write_config,
)
from datadiet.stages.pretrained import open_weights
from datadiet.stages.rehearsal import rehearse
from datadiet.stages.select import check_retrainings, check_sizes
from datadiet.stages.timing import timed
from datadiet.workdir import artifacts, atomic, claim, lock
from datadiet.workdir.artifacts import Workdir


def check_stages(names: Sequence[str]) -> list[str]:
  """The stages asked for, in the order they run.

  Raises:
    ConfigError: for an unknown or no stage.
  """
  for name in names:
    if name not in STAGES:
      raise ConfigError(
        f'--stages: {name!r} is not allowed; allowed: '
        f'{", ".join(STAGES)}{closest(name, STAGES)}'
      )
  if not names:
    raise ConfigError(f'--stages is empty; allowed: {", ".join(STAGES)}')
  return [name for name in STAGES if name in names]


def run(config: Config, workdir: str, stage_names: Sequence[str]) -> None:
  """Runs stages with a checked and resolved config.

  Args:
    config: of `config.resolve`.
    workdir: where artifacts go.
    stage_names: keys of `STAGES`.

  Raises:
    DataDietError: with one sentence for the user.
    Preempted: if the process was asked to stop; everything is saved.
  """
  names = check_stages(stage_names)
  check_libraries(config, names)
  root = Workdir.at(workdir)
  if config.train.imported:
    names = [name for name in names if name not in ('train', 'score')]
    if not names:
      raise ConfigError(
        f'--stages: {", ".join(stage_names)} is not allowed in {root.root}, '
        'whose scores were imported; allowed: inspect, audit, select, '
        'retrain, report'
      )
  # All checks first: a start that is refused changes nothing in the workdir.
  check_paths(config, root, names)
  config = open_config(config, root)
  if names == ['report'] and not root.config.exists():
    raise ConfigError(
      f'--workdir: {root.root} holds no results to report on; allowed: a '
      'folder that another stage has made'
    )
  if not processes.is_lead():
    # One process tells how it goes; all tell of warnings.
    logging.set_verbosity(logging.WARNING)
  with contextlib.ExitStack() as stack:
    stack.enter_context(plugins.blamed(config.plugins))
    if names == ['report']:
      _run(config, root, names)
      return
    holder = processes.broadcast_from_lead(
      lambda: stack.enter_context(lock.hold(root.root))
    )
    if holder:
      raise DataDietError(
        f'--workdir: {root.root} is in use by {holder}; wait until that has '
        'ended, or stop it'
      )
    _run(config, root, names)


def _run(config: Config, root: Workdir, names: list[str]) -> None:
  """Runs stages in a workdir that fits; `run` has the rest."""
  start = time.monotonic()
  # A report alone is made at any time: it changes nothing but itself.
  only_looks = names == ['report']
  try:
    dataset = processes.one_a_host_first(lambda: _load(config.dataset))
  except DataDietError as error:
    if not only_looks:
      raise
    report.run_without_images(root, error)
    return
  context = Context(config, root, dataset)
  check_against_data(context, names)
  config = config_lib.resolve(config, context.steps_per_epoch, names)
  context = context.with_changes(config=config)
  if {'train', 'score', 'audit', 'retrain'} & {*names}:
    context = open_weights(context)
  check_due(context, names)
  rehearse(context, names)
  if {'select', 'retrain'} & {*names}:
    check_sizes(context)
    check_retrainings(context, scores_first='score' in names)
  elif processes.is_lead():
    draws.warn_of_outdated(context, scores_first='score' in names)
  open_dataset(context.dataset, root)
  if not only_looks:
    if processes.is_lead():
      atomic.clear_half_written(root.root)
    write_config(config, root, context.pretrained)
  processes.stop_if_any_is_asked_to()
  _show_plan(context, names)
  for name in names:
    logging.debug('Stage %s begins', name)
    context.forget()
    with contextlib.nullcontext() if only_looks else timed(context, name):
      STAGES[name].run(context)
      # What one process wrote the others read in the next stage.
      processes.barrier(name)
    processes.stop_if_any_is_asked_to()
  logging.info('Done in %s', format_seconds(time.monotonic() - start))
  logging.info('Results: %s', root.root)


def _load(settings: DatasetSettings) -> Dataset:
  """Reads the data; a process that is stopped meanwhile takes the others along.

  They cannot agree on it, since each reads on its own.
  """
  try:
    dataset = load_dataset(settings)
    names, labels = dataset.class_names, dataset.train.labels
    logging.info('%s: %s', dataset.name, class_counts(labels, names))
    return dataset
  except Preempted:
    if processes.has_peers():
      ending.tell_peers_stopped()
      ending.exit_with(EXIT_STOPPED)
    raise


def _show_plan(context: Context, names: Sequence[str]) -> None:
  dataset, devices = context.dataset, jax.devices()
  logging.info(
    '%s: %d train and %d test images of %s, %d classes; %s on %d x %s',
    dataset.name,
    dataset.train.num_examples,
    dataset.test.num_examples,
    'x'.join(map(str, dataset.image_shape)),
    dataset.num_classes,
    context.config.model.name,
    len(devices),
    devices[0].device_kind,
  )
  for name in names:
    logging.info('  %-8s %s', name, STAGES[name].plan(context))


def run_sweep(
  children: list[sweep.Child],
  selected: list[sweep.Child],
  workdir: str,
  run_one: Callable[[ml_collections.ConfigDict, str], None],
) -> None:
  """Runs children one after the other and writes the table of all finished.

  Args:
    children: of `sweep.expand`.
    selected: of `sweep.chosen`.
    workdir: of the sweep; sweep.csv is written there.
    run_one: (config, workdir), runs all stages.
  """
  claim.check_is_free(Workdir.at(workdir), beside=('sweep', 'sweep.csv'))
  for child in selected:
    logging.info(
      'Sweep %d of %d: %s', child.index + 1, len(children), child.settings
    )
    run_one(child.config, child.workdir)
  if not processes.is_lead():
    return
  # A shared workdir has one summary of all.
  shares = children[0].workdir == workdir
  tables = children[:1] if shares else children
  rows = [row for child in tables for row in _sweep_rows(child, shares)]
  names = [] if shares else ['index', *children[0].settings]
  header = [*names, *_SWEEP_COLUMNS]
  root = Workdir.at(workdir).root
  artifacts.write_csv(root / 'sweep.csv', header, rows)
  logging.info('Sweep: %d rows in %s', len(rows), root / 'sweep.csv')


_SWEEP_COLUMNS = (
  'selection',
  'num_kept',
  'fraction',
  'num_runs',
  'mean_accuracy',
  'std_accuracy',
)


def _sweep_rows(child: sweep.Child, shares: bool) -> list[list]:
  """The accuracies in a child's workdir, with its settings if it is its own."""
  path = Workdir.at(child.workdir).report / 'summary.json'
  if not path.exists():
    return []
  own = [] if shares else [child.index, *child.settings.values()]
  return [
    [*own, *(row[column] for column in _SWEEP_COLUMNS)]
    for row in artifacts.read_json(path)['accuracy']
  ]
