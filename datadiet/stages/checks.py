"""Checks of a start that are made before anything is trained."""

from collections.abc import Sequence

import numpy as np
from absl import logging
from etils import epath

from datadiet import config as config_lib
from datadiet.config import Config
from datadiet.data.label_files import file_and_key
from datadiet.errors import ConfigError, counted
from datadiet.feeding.augmentation import PHOTO_CROP_FLIP
from datadiet.feeding.order import steps_per_epoch
from datadiet.runtime import extras
from datadiet.selection import POLICIES, num_kept
from datadiet.stages.context import Context
from datadiet.workdir import storage
from datadiet.workdir.artifacts import Workdir


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
    of_report = (name for name, of in extras.EXTRA_OF.items() if of == 'report')
    extras.require('--stages: report', *of_report)
  if 'inspect' in stage_names:
    extras.require('--stages: inspect', 'faiss', 'sklearn', 'threadpoolctl')
    if config.inspect.map == 'umap':
      extras.require("config.inspect.map: 'umap'", 'umap')
  if {'train', 'retrain'} & {*stage_names}:
    if config.train.color_jitter:
      extras.require('config.train.color_jitter', 'dm_pix')
    if config.train.augmentation == PHOTO_CROP_FLIP:
      augmentation = f'config.train.augmentation: {PHOTO_CROP_FLIP}'
      extras.require(augmentation, 'cv2', 'simplejpeg')
  selects = 'select' in stage_names or 'retrain' in stage_names
  for policy in config.select.policy_names if selects else ():
    libraries = POLICIES[policy].libraries
    extras.require(f'config.select.policies: {policy}', *libraries)


# The stages that read the file of a setting, where not all do.
_READ_BY = {
  # Without it the report is made as where the images are gone.
  'dataset.labels_path': ('train', 'score', 'audit', 'select', 'retrain'),
  'inspect.embeddings_path': ('inspect',),
  'inspect.test_embeddings_path': ('inspect',),
  'model.weights': ('train', 'score', 'audit', 'retrain'),
  'train.init_from': ('train', 'audit', 'retrain'),
  'select.scores_path': ('select', 'retrain'),
  'select.embeddings_path': ('select', 'retrain'),
}


def check_paths(
  config: Config, workdir: Workdir, stages: Sequence[str]
) -> None:
  """Checks that files named by settings exist and object stores are reachable.

  Args:
    config: the experiment, checked.
    workdir: where results go.
    stages: that are asked for; files that only others read may be missing.

  Raises:
    ConfigError: names the setting and the file.
    DataDietError: if an object store cannot be reached.
  """
  storage.check_usable(workdir.root, '--workdir', to_write=True)
  paths = {
    name: value
    for name, value in config_lib.flatten(config)
    if config_lib.FIELDS[name].path
    and {*_READ_BY.get(name, stages)} & {*stages}
  }
  data = {'dataset.data_dir': config.dataset.data_dir}
  for name, value in (data | paths).items():
    storage.check_usable(value, f'config.{name}')
  for name, value in paths.items():
    if not value:
      continue
    file = epath.Path(value).expanduser()
    if name == 'dataset.labels_path':
      file, _ = file_and_key(value)
    if not file.exists():
      raise ConfigError(
        f'config.{name}: {value!r} does not exist; allowed: an existing file'
      )


def check_against_data(context: Context, stages: Sequence[str]) -> None:
  """Checks settings that depend on the data, and files that go with it.

  Only the stages that are asked for are checked.

  Raises:
    ConfigError: names the field, its value and what is allowed.
    DataDietError: if a file of scores or of examples does not fit the data.
  """
  config, dataset = context.config, context.dataset
  num_examples, batch_size = context.num_examples, config.train.batch_size
  if batch_size > num_examples:
    raise ConfigError(
      f'config.train.batch_size: {batch_size} is not allowed; allowed: at most '
      f'the {num_examples} train examples of {dataset.name}'
    )
  if not context.steps_per_epoch:
    raise ConfigError(
      f'config.train.batch_size: {batch_size} is not allowed; allowed: at most '
      'the number of examples that a run trains on'
    )
  _check_folds(context)
  if {'select', 'retrain'} & {*stages}:
    _ = context.score_file, context.embedding_file  # Read, and so checked.
    _check_sizes(context)
  if 'inspect' in stages:
    _ = context.own_embeddings
  per_epoch = steps_per_epoch(num_examples, batch_size)
  if (
    'audit' in stages
    and config.audit.threshold_samples
    and config.train.num_steps < per_epoch
  ):
    raise ConfigError(
      'config.audit.threshold_samples: True is not allowed, as '
      f'train.num_steps = {config.train.num_steps} is less than an epoch of '
      f'{per_epoch} steps; allowed: False'
    )
  height, width, channels = dataset.image_shape
  if config.train.color_jitter and channels != 3:
    raise ConfigError(
      f'config.train.color_jitter: {config.train.color_jitter} is not allowed '
      f'with images of {counted(channels, "channel")}; allowed: 0'
    )
  if config.train.crop_padding >= min(height, width):
    raise ConfigError(
      f'config.train.crop_padding: {config.train.crop_padding} is not allowed; '
      f'allowed: less than the image size {min(height, width)}'
    )


def _check_folds(context: Context) -> None:
  """Checks that every fold has an example; names classes that are not learned.

  Of a class of fewer examples than folds each is left out by another run; of
  one example, what predicts it was trained on none of the class.
  """
  folds, dataset = context.config.train.folds, context.dataset
  if folds > context.num_examples:
    raise ConfigError(
      f'config.train.folds: {folds} is not allowed; allowed: at most the '
      f'{context.num_examples} train examples of {dataset.name}'
    )
  sizes = np.bincount(dataset.train.labels, minlength=dataset.num_classes)
  alone = [dataset.class_names[label] for label in np.flatnonzero(sizes == 1)]
  if folds and alone:
    logging.warning(
      'Of %s there is one example, which networks trained without it cannot '
      'know: the audit will suspect its label',
      ', '.join(alone),
    )


def _check_sizes(context: Context) -> None:
  """Checks that every selection can be trained on."""
  config, num_examples = context.config, context.num_examples
  batch_size = config.train.batch_size
  for name in ('sizes', 'fractions'):
    for value in getattr(config.select, name):
      kept = value if name == 'sizes' else num_kept(value, num_examples)
      if not batch_size <= kept <= num_examples:
        raise ConfigError(
          f'config.select.{name}: {value} keeps {kept} of {num_examples} '
          f'examples; allowed: at least one batch of {batch_size}, at most all'
        )
