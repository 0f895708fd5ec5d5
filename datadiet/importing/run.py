"""Makes a workdir of what another program's training left behind."""

import tempfile

import ml_collections
import numpy as np
from absl import logging

from datadiet import config as config_lib
from datadiet.config import Config
from datadiet.data import Dataset, load_dataset
from datadiet.errors import ConfigError, DataDietError
from datadiet.feeding.order import steps_per_epoch
from datadiet.importing.agreement import check_agreement
from datadiet.importing.files import Given, Rows
from datadiet.importing.scores import (
  Imported,
  names_of,
  needing_logarithms,
  score_run,
)
from datadiet.scoring import registry
from datadiet.stages import mean_scores
from datadiet.stages.context import Context
from datadiet.stages.network_scores import write_scores
from datadiet.stages.opening import open_config, open_dataset, write_config
from datadiet.training.settings import BOTH, IN_SAMPLE, OUT_OF_SAMPLE
from datadiet.workdir import artifacts, atomic, lock, storage
from datadiet.workdir.artifacts import Workdir


def import_training(
  config: ml_collections.ConfigDict, workdir: str, given: Given
) -> None:
  """Writes the scores of recorded predictions, as the score stage would.

  Afterwards the stages audit, select, retrain and report run on the workdir.

  Args:
    config: the experiment: its data, and settings of the stages to come.
    workdir: a folder that is new or empty.
    given: the files.

  Raises:
    ConfigError: for files that do not fit the data, and scores to select by
      that they do not give, before anything is written.
    DataDietError: with one sentence for the user.
  """
  if not given.kind and not given.held_out_probs:
    raise ConfigError(
      'nothing is given to import; allowed: --logits, --probs, --losses or '
      '--held_out_probs'
    )
  # Plugins, which may have scores, are known from here on.
  config_lib.check(config, stages=('report',))
  # Of as many epochs as any score needs: what is refused now always would be.
  most = config.train.dynamics_window
  config_lib.check(_imported(config, given, _names(given, most, most), most))
  root = Workdir.at(workdir)
  with lock.hold(root.root) as holder:
    if holder:
      raise DataDietError(f'--workdir: {root.root} is in use by {holder}')
    if root.config.exists():
      raise ConfigError(
        f'--workdir: {root.root} has results already; allowed: a folder that '
        'is new or empty'
      )
    _remove_unfinished(root)
    _import(config, root, given)


def _remove_unfinished(root: Workdir) -> None:
  """Removes what an import left that did not come to its end."""
  if not root.importing.exists():
    return
  logging.info('An import into %s did not end; it begins anew', root.root)
  for folder in (root.scores_csv().parent, root.run('train', 0).parent):
    storage.remove_folder(folder)
  for path in (*root.written_first, root.importing):
    storage.remove(path)


def _import(
  config: ml_collections.ConfigDict, root: Workdir, given: Given
) -> None:
  """Reads, scores and writes everything, in a workdir that is locked."""
  asked = config_lib.resolve(config)
  open_config(asked, root)
  dataset = load_dataset(asked.dataset)
  with tempfile.TemporaryDirectory() as folder:
    rows = Rows(dataset, given.ids, folder)
    config, runs, held_out_probs = _read(config, dataset, given, rows)
  per_epoch = _steps_per_epoch(config, dataset)
  resolved = config_lib.resolve(config_lib.resolve(config), per_epoch)
  context = Context(open_config(resolved, root), root, dataset)
  atomic.write_bytes(root.importing, b'')
  open_dataset(dataset, root)
  _write(context, runs, held_out_probs)
  # Last: with it the folder is a workdir.
  write_config(context.config, root)
  storage.remove(root.importing)
  selected = context.config.select.scores
  if lost := [one for one in asked.select.scores if one not in selected]:
    logging.warning(
      'Left out of select.scores: %s, which these files do not give; it is '
      'now %s',
      ', '.join(lost),
      ', '.join(selected),
    )
  logging.info(
    'Imported: %s; go on with --stages=audit,select,report',
    ', '.join(context.config.score.names),
  )


def _steps_per_epoch(
  config: ml_collections.ConfigDict, dataset: Dataset
) -> int:
  """Optimizer steps that an epoch stands for; at least one."""
  num_examples = dataset.train.num_examples
  return max(1, steps_per_epoch(num_examples, config.train.batch_size))


def _read(
  config: ml_collections.ConfigDict, dataset: Dataset, given: Given, rows: Rows
) -> tuple[ml_collections.ConfigDict, list[Imported], np.ndarray | None]:
  """Reads and scores everything: config as imported, runs, held-out ones."""
  features = held_out_probs = in_full = None
  if given.features:
    features = rows.features(given.features, 'features')
  if given.held_out_probs:
    in_full = rows.by_class(given.held_out_probs, 'held_out_probs')
    held_out_probs = in_full.astype(np.float32)
  kind, window = given.kind, config.train.dynamics_window
  if kind:
    read = [(path, *rows.epochs(path, kind)) for path in given.paths(kind)]
  else:
    assert in_full is not None  # One of both was given.
    kind, read = 'probs', [(given.held_out_probs, 1, iter([in_full]))]
  lengths = {num_epochs for _, num_epochs, _ in read}
  if len(lengths) > 1:
    found = ', '.join(f'{number} of {path}' for path, number, _ in read)
    raise ConfigError(
      f'--{kind}: runs of different numbers of epochs are not allowed '
      f'({found}); allowed: as many in each'
    )
  (num_epochs,) = lengths
  names = _names(given, num_epochs, window)
  _tell_of_features(given)
  per_epoch = _steps_per_epoch(config, dataset)
  facts = num_epochs, num_epochs * per_epoch
  config_lib.check(_imported(config, given, names, *facts))
  runs = [
    score_run(
      epochs,
      kind,
      dataset.train.labels,
      names,
      window=window,
      steps_per_epoch=per_epoch,
      features=features if given.has_features else None,
    )
    for _, _, epochs in read
  ]
  _check_agreement(given, runs, held_out_probs, dataset.train.labels)
  names = _without_lost(names, runs, kind if given.kind else 'held_out_probs')
  if features is not None:
    runs[0].scores['features'] = features
  config = _imported(config, given, names, *facts)
  config_lib.check(config)
  return config, runs, held_out_probs


def _names(given: Given, num_epochs: int, window: int) -> tuple[str, ...]:
  """The scores that the files allow."""
  kind = given.kind or 'probs'
  return names_of(kind, num_epochs, window, given.has_features)


def _tell_of_features(given: Given) -> None:
  """Says which scores the features of one of several runs do not give."""
  if not given.features or given.has_features or given.kind == 'losses':
    return
  logging.warning(
    'Left out: %s, as --features are those of the first of %d runs; import '
    'that run alone for it',
    ', '.join(registry.needing(registry.SCORES, registry.FEATURES)),
    given.num_runs,
  )


def _check_agreement(
  given: Given,
  runs: list[Imported],
  held_out_probs: np.ndarray | None,
  labels: np.ndarray,
) -> None:
  """Checks all predictions against the labels; of losses it cannot."""
  if given.kind and given.kind != 'losses':
    for path, run in zip(given.paths(given.kind), runs, strict=True):
      assert run.pred_probs is not None  # All but losses give them.
      check_agreement(run.pred_probs, labels, f'--{given.kind}: {path}')
  if held_out_probs is not None:
    source = f'--held_out_probs: {given.held_out_probs}'
    check_agreement(held_out_probs, labels, source)


def _without_lost(
  names: tuple[str, ...], runs: list[Imported], flag: str
) -> tuple[str, ...]:
  """The scores that all runs have; the others are told of and dropped."""
  if not any(run.has_zeros for run in runs):
    return names
  lost = needing_logarithms(names)
  for run in runs:
    for name in lost:
      run.scores.pop(name)
    run.dynamics.pop('margin_mean', None)  # That of aum.
  logging.warning(
    'Left out: %s, as there are probabilities of exactly 0 in --%s, of which '
    'no logarithm is known; probabilities of more digits, or --logits, give '
    'them',
    ', '.join(lost),
    flag,
  )
  return tuple(name for name in names if name not in lost)


def _imported(
  config: ml_collections.ConfigDict,
  given: Given,
  names: tuple[str, ...],
  num_epochs: int,
  num_steps: int = 0,
) -> ml_collections.ConfigDict:
  """A copy of the config that says what is imported."""
  imported = IN_SAMPLE
  if given.held_out_probs:
    imported = BOTH if given.kind else OUT_OF_SAMPLE
  settings = {
    'train.num_runs': given.num_runs,
    'train.imported': imported,
    'train.num_epochs': num_epochs,
    'train.schedule_steps': max(num_steps, config.train.schedule_steps),
    'train.early_steps': (),
    'train.early_every': 0,
    'train.early_until': 0,
    'train.profile_steps': (),
    'train.subset_path': '',
    'train.subset_fraction': 1.0,
    'train.folds': 0,
    'score.names': names,
    'score.steps': (),
    'select.scores': _selected(config, names),
    'select.step': -1,
    'audit.threshold_samples': False,
  }
  config = ml_collections.ConfigDict(config.to_dict())
  for name, value in settings.items():
    section, _, field = name.partition('.')
    config[section][field] = value
  return config


def _selected(
  config: ml_collections.ConfigDict, names: tuple[str, ...]
) -> tuple[str, ...]:
  """Those of select.scores that there are, each with its step if it has one.

  Where there are none it is left for the config's check to refuse, but for the
  default, which nobody need have chosen.
  """
  asked = tuple(config.select.scores)
  found = tuple(
    one
    for one in asked
    if registry.split_step(registry.own_name(one))[0] in names
  )
  if not found and asked == Config().select.scores:
    return names[:1]
  return found or asked


def _write(
  context: Context, runs: list[Imported], held_out_probs: np.ndarray | None
) -> None:
  """Writes what the train and score stages would have written."""
  (step,) = context.config.score.steps
  for run, imported in enumerate(runs):
    arrays = dict(imported.scores)
    if imported.pred_probs is not None:
      arrays['pred_probs'] = imported.pred_probs
      arrays['prediction'] = imported.pred_probs.argmax(-1).astype(np.int32)
    write_scores(context, run, step, arrays)
    if imported.dynamics:
      path = artifacts.dynamics_file(context.workdir.run('train', run), step)
      artifacts.write_npz(path, imported.dynamics)
  mean_scores.write_means(context, step, held_out_probs)
