"""What all stages are given, and how a workdir is opened."""

import dataclasses
import functools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

import jax
from absl import logging
from etils import epath

from datadiet import config as config_lib
from datadiet.config import Config
from datadiet.data import TREES, Dataset
from datadiet.errors import ConfigError, DataDietError, Preempted
from datadiet.feeding.placement import Placements
from datadiet.runtime import processes
from datadiet.runtime.progress import format_seconds
from datadiet.selection import num_kept
from datadiet.settings import to_values
from datadiet.stages.score_file import read_score_file
from datadiet.stages.subset import check_data, steps_per_epoch
from datadiet.workdir import artifacts, claim, storage
from datadiet.workdir.artifacts import Workdir

# Settings that may change between two starts on one workdir: they decide where
# things lie, how fast they go, and which artifacts are added.
_FREE = (
  'audit',
  'compilation_cache_dir',
  'dataset.cache_dir',
  'dataset.data_dir',
  'dataset.labels_path',
  'dataset.placement',
  'retrain.full',
  'retrain.num_runs',
  'score',
  'select',
  'sweep',
  'train.checkpoint_every_steps',
  'train.eval_batch_size',
  'train.eval_every_steps',
  'train.log_every_steps',
  'train.runs_at_once',
  'train.steps_per_call',
)
_PACKAGES = (
  'datadiet',
  'jax',
  'jaxlib',
  'flax',
  'optax',
  'safetensors',
  'numpy',
)


@dataclasses.dataclass(frozen=True)
class Context:
  """The resolved config, the workdir, and the data.

  Attributes:
    config: of `config.resolve`.
    workdir: where artifacts go.
    dataset: the data, loaded once.
  """

  config: Config
  workdir: Workdir
  dataset: Dataset

  @property
  def runs(self) -> range:
    """The numbers of the runs to be scored."""
    return range(self.config.train.num_runs)

  @functools.cached_property
  def placements(self) -> Placements:
    """The data on the devices, placed once for all stages."""
    return Placements(self.config.dataset.placement)

  def provenance(self, step: int) -> dict:
    """What the manifests of scores say of data, networks and seeds."""
    config = self.config
    return {
      'fingerprint': self.dataset.fingerprint,
      'labels_fingerprint': self.dataset.labels_fingerprint,
      'num_examples': self.dataset.train.num_examples,
      'step': step,
      'model': to_values(config.model),
      'model_seed': config.train.model_seed,
      'data_seed': config.train.data_seed,
      'subset_fraction': config.train.subset_fraction,
    }


# Settings that name files, which have to be there before data is read.
_PATHS = (
  'dataset.labels_path',
  'train.init_from',
  'train.subset_path',
  'select.scores_path',
)


def check_paths(config: Config, workdir: Workdir) -> None:
  """Checks that files that settings name are there, and object stores ready.

  Raises:
    ConfigError: names the setting and the file.
    DataDietError: if an object store cannot be reached.
  """
  storage.check_usable(workdir.root, '--workdir', to_write=True)
  for name, value in config_lib.flatten(config):
    if name in _PATHS or name == 'dataset.data_dir':
      storage.check_usable(value, f'config.{name}')
  for name, value in config_lib.flatten(config):
    if name in _PATHS and value and not epath.Path(value).expanduser().exists():
      raise ConfigError(
        f'config.{name}: {value!r} does not exist; allowed: an existing file'
      )


def check_workdir(config: Config, workdir: Workdir) -> None:
  """Checks that a workdir, if there is one, was made with this config.

  Args:
    config: of `config.resolve`.
    workdir: where.

  Raises:
    ConfigError: if it was made with other settings, naming those that differ,
      if it is no workdir and not empty, or if data lies in it or it in data.
    DataDietError: if its config.json is damaged.
  """
  settings = config.dataset
  is_tree = settings.name in TREES
  claim.check_is_apart(workdir, settings.data_dir, is_tree)
  claim.check_is_free(workdir)
  current = dict(config_lib.flatten(_plain(config)))
  defaults = dict(config_lib.flatten(_plain(Config())))
  if workdir.config.exists():
    content = artifacts.read_json(workdir.config)
    before = dict(config_lib.flatten(content['config']))
    # A setting that is newer than the workdir had what is its default now.
    before = {**defaults, **before}
    different = [
      f'{name} (there {before[name]!r}, here {value!r})'
      for name, value in current.items()
      if before[name] != value and not _is_free(name, config)
    ]
    if different:
      raise ConfigError(
        f'{workdir.root} was made with another config: '
        f'{"; ".join(different)}; use another --workdir'
      )


def _is_free(name: str, config: Config) -> bool:
  """Whether a setting may differ from the one that a workdir was made with."""
  # Worked out from num_epochs and the data, which are compared themselves.
  derived = ('train.num_steps', 'train.schedule_steps', 'retrain.num_steps')
  if name in derived and config.train.num_epochs:
    return True
  if name == 'train.num_runs':  # A run depends on others by subsets alone.
    fixed = config.train.subset_fraction < 1 or config.audit.threshold_samples
    return not fixed
  return any(name == free or name.startswith(f'{free}.') for free in _FREE)


def write_config(config: Config, workdir: Workdir) -> None:
  """Writes config.json, once nothing speaks against this config any more.

  Raises:
    DataDietError: if it cannot be written.
  """
  if processes.is_lead():
    artifacts.write_json(workdir.config, _provenance(config))


def _plain(config: Config) -> dict:
  """The config with tuples as lists, as it comes back from JSON."""
  return json.loads(json.dumps(to_values(config)))


def _provenance(config: Config) -> dict:
  versions = {'python': sys.version.split()[0]}
  for package in _PACKAGES:
    try:
      versions[package] = metadata.version(package)
    except metadata.PackageNotFoundError:
      versions[package] = None
  return {
    'config': _plain(config),
    'versions': versions,
    'devices': [device.device_kind for device in jax.devices()],
    'num_processes': jax.process_count(),
    'commit': _commit(),
  }


def _commit() -> str | None:
  """The commit the package runs from, or None outside a repository."""
  import datadiet

  try:
    done = subprocess.run(
      ['git', 'rev-parse', 'HEAD'],
      cwd=datadiet.__path__[0],
      capture_output=True,
      text=True,
      check=True,
    )
  except (OSError, subprocess.CalledProcessError):
    return None
  return done.stdout.strip()


def open_dataset(dataset: Dataset, workdir: Workdir) -> None:
  """Writes dataset.json, or checks that the workdir is of the same data.

  Beside it goes test_ids.txt, the ids of the test split.

  Where labels were changed on purpose also original_labels.npy, by which
  results are judged where the data is not at hand.

  Raises:
    DataDietError: if the workdir was made for other data; names both.
  """
  if workdir.dataset.exists():
    before = artifacts.read_json(workdir.dataset)
    artifacts.check_fingerprint(before, dataset.fingerprint, workdir.root)
    if before.get('labels_fingerprint') != dataset.labels_fingerprint:
      raise DataDietError(
        f'{workdir.root} was made with other labels of the same data '
        f'(labels_fingerprint {before.get("labels_fingerprint")}, here '
        f'{dataset.labels_fingerprint}); use another --workdir'
      )
  if not processes.is_lead():
    return
  original = dataset.original_labels
  if original is not None and not workdir.original_labels.exists():
    artifacts.write_npy(workdir.original_labels, original)
  test_ids = dataset.test.ids.tolist()
  # Which examples are not scored, as a source without splits does not say.
  if not workdir.test_ids.exists() and not any('\n' in i for i in test_ids):
    text = ''.join(f'{name}\n' for name in test_ids)
    artifacts.write_bytes(workdir.test_ids, text.encode())
  if not workdir.dataset.exists():
    artifacts.write_json(workdir.dataset, dataset.description())


def check_against_data(config: Config, dataset: Dataset) -> None:
  """Checks settings that depend on the data, and files that go with it.

  Raises:
    ConfigError: names the field, its value and what is allowed.
    DataDietError: if a file of scores or of examples does not fit the data.
  """
  num_examples = dataset.train.num_examples
  batch_size = config.train.batch_size
  if batch_size > num_examples:
    raise ConfigError(
      f'config.train.batch_size: {batch_size} is not allowed; allowed: at most '
      f'the {num_examples} train examples of {dataset.name}'
    )
  if not steps_per_epoch(config, num_examples):
    raise ConfigError(
      f'config.train.batch_size: {batch_size} is not allowed; allowed: at most '
      'the number of examples that a run trains on'
    )
  read_score_file(config, dataset)
  check_data(config, dataset.fingerprint)
  if config.audit.threshold_samples and (
    config.train.num_steps < num_examples // batch_size
  ):
    raise ConfigError(
      'config.audit.threshold_samples: True is not allowed, as '
      f'train.num_steps = {config.train.num_steps} is less than an epoch of '
      f'{num_examples // batch_size} steps; allowed: False'
    )
  for name in ('sizes', 'fractions'):
    for value in getattr(config.select, name):
      kept = value if name == 'sizes' else num_kept(value, num_examples)
      if not batch_size <= kept <= num_examples:
        raise ConfigError(
          f'config.select.{name}: {value} keeps {kept} of {num_examples} '
          f'examples; allowed: at least one batch of {batch_size}, at most all'
        )
  height, width, _ = dataset.image_shape
  if config.train.crop_padding >= min(height, width):
    raise ConfigError(
      f'config.train.crop_padding: {config.train.crop_padding} is not allowed; '
      f'allowed: less than the image size {min(height, width)}'
    )


@contextmanager
def timed(context: Context, stage: str) -> Iterator[None]:
  """Adds the time of a block to the stage's in timing.json."""
  start = time.monotonic()
  try:
    yield
  except Preempted:
    _add_time(context, stage, time.monotonic() - start)
    raise
  # Nothing is written after an error: the disk may be full, and that would be
  # the error that is seen.
  seconds = time.monotonic() - start
  logging.info('Stage %s: %s', stage, format_seconds(seconds))
  _add_time(context, stage, seconds)


def _add_time(context: Context, stage: str, seconds: float) -> None:
  if not processes.is_lead():
    return
  path = context.workdir.timing
  timing = artifacts.read_json(path) if path.exists() else {}
  entry = timing.setdefault(stage, {'seconds': 0.0, 'device_seconds': 0.0})
  entry['seconds'] += seconds
  entry['device_seconds'] += seconds * jax.device_count()
  kind = jax.devices()[0].device_kind
  entry['devices'] = f'{jax.device_count()} × {kind}'
  artifacts.write_json(path, timing)
