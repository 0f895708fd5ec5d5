"""Opens a workdir: checks its config and its data."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any

import jax
from absl import logging

from datadiet import config as config_lib
from datadiet.config import Config
from datadiet.data import DATASETS, TFDS, Dataset
from datadiet.errors import ConfigError, DataDietError
from datadiet.runtime import processes
from datadiet.runtime.platform import platform_of
from datadiet.scoring.precision import AUTO, usual_precision
from datadiet.settings import to_values
from datadiet.workdir import artifacts, claim
from datadiet.workdir.artifacts import Workdir

_PACKAGES = (
  'datadiet',
  'jax',
  'jaxlib',
  'flax',
  'optax',
  'safetensors',
  'numpy',
)
# NVIDIA's GPUs before this compute capability (Ampere) have no bfloat16.
_FIRST_CAPABILITY = 8.0


def open_config(config: Config, workdir: Workdir) -> Config:
  """Resolves what is 'auto' and checks the config against the workdir's own.

  Args:
    config: of `config.resolve`.
    workdir: where artifacts go; may not exist yet.

  Raises:
    ConfigError: if it was made with other settings, naming those that differ,
      if the folder is neither a workdir nor empty, or if it contains the data
      or lies inside it.
    DataDietError: if its config.json is damaged.
  """
  is_tree = DATASETS.get(config.dataset.name, TFDS).is_tree
  claim.check_is_apart(workdir, config.dataset.data_dir, is_tree)
  content = claim.check_is_free(workdir)
  before = None if content is None else content['config']
  config = choose_dtypes(config, before)
  if before is not None:
    _check_same(config, before, workdir)
  return config


def choose_dtypes(
  config: Config,
  before: Mapping[str, Any] | None,
  devices: Sequence[Any] | None = None,
) -> Config:
  """The config with 'auto' resolved in model.dtype and score.dtype.

  A workdir keeps the types that it was begun with, wherever it is resumed, so
  that its networks and scores stay comparable. In a new one networks train in
  bfloat16 where the hardware supports it (GPUs and TPUs) and in float32
  elsewhere; for scores see `usual_precision`.

  Args:
    config: of `config.resolve`.
    before: the config that the workdir was begun with; None for a new one.
    devices: to run on; None for those of this process.
  """
  devices = jax.devices() if devices is None else devices
  model, score = config.model, config.score
  if model.dtype == AUTO:
    begun = None if before is None else before['model']['dtype']
    dtype = _chosen('Training', begun, _usual_dtype(devices))
    model = dataclasses.replace(model, dtype=dtype)
  if score.dtype == AUTO:
    # A workdir that is older than this setting scored in float32.
    begun = None
    if before is not None:
      begun = before.get('score', {}).get('dtype', 'float32')
    usual = usual_precision(platform_of(devices))
    dtype = _chosen('Scoring', begun, usual)
    score = dataclasses.replace(score, dtype=dtype)
  return dataclasses.replace(config, model=model, score=score)


def _chosen(what: str, begun: str | None, usual: str) -> str:
  """The type that a workdir was begun with, or the usual one for a new one."""
  if begun and begun != usual:
    logging.info(
      '%s in %s, as this workdir was begun, not in %s as is usual here',
      what,
      begun,
      usual,
    )
  return begun or usual


def _usual_dtype(devices: Sequence[Any]) -> str:
  """The type that devices multiply fast."""
  if platform_of(devices) not in ('gpu', 'tpu'):
    return 'float32'
  capability: Any = getattr(devices[0], 'compute_capability', None)
  try:
    is_old = float(capability) < _FIRST_CAPABILITY
  except (TypeError, ValueError):  # A TPU; AMD's are called gfx90a and so on.
    is_old = False
  return 'float32' if is_old else 'bfloat16'


def _check_same(
  config: Config, before: Mapping[str, Any], workdir: Workdir
) -> None:
  """Refuses a config that differs in settings that must not change."""
  # A setting added after the workdir was made had today's default.
  before = {
    **dict(config_lib.flatten(_plain(Config()))),
    **dict(config_lib.flatten(before)),
  }
  different = [
    f'{name} (there {before[name]!r}, here {value!r})'
    for name, value in config_lib.flatten(_plain(config))
    if before[name] != value and not _is_free(name, config)
  ]
  if different:
    raise ConfigError(
      f'{workdir.root} was made with another config: '
      f'{"; ".join(different)}; use another --workdir'
    )


def _is_free(name: str, config: Config) -> bool:
  """Whether a setting may differ from the one that a workdir was made with."""
  # Computed from num_epochs and the data, which are compared themselves.
  derived = ('train.num_steps', 'train.schedule_steps', 'retrain.num_steps')
  if name in derived and config.train.num_epochs:
    return True
  if name == 'train.num_runs':  # Runs share nothing but subsets.
    fixed = config.train.subset_fraction < 1 or config.audit.threshold_samples
    return not fixed
  return config_lib.FIELDS[name].free


def write_config(
  config: Config, workdir: Workdir, pretrained: dict[str, Any] | None = None
) -> None:
  """Writes config.json, after all checks have passed.

  Args:
    config: of `open_config`.
    workdir: where artifacts go.
    pretrained: of `Context`.

  Raises:
    DataDietError: if it cannot be written.
  """
  if processes.is_lead():
    # It deletes retrainings, which the next start was not asked to do.
    select = dataclasses.replace(config.select, remake=False)
    config = dataclasses.replace(config, select=select)
    content = {**_provenance(config), 'pretrained': pretrained}
    artifacts.write_json(workdir.config, content)


def _plain(config: Config) -> dict:
  """The config with tuples as lists, as it comes back from JSON."""
  return json.loads(json.dumps(to_values(config)))


def _provenance(config: Config) -> dict:
  versions: dict[str, str | None] = {'python': sys.version.split()[0]}
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

  Also writes test_ids.txt, the ids of the test split, and, where labels were
  changed on purpose, original_labels.npy, so that results can be judged where
  the data is not available.

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
    _check_extra_tests(dataset, before, workdir)
  if not processes.is_lead():
    return
  original = dataset.original_labels
  if original is not None and not workdir.original_labels.exists():
    artifacts.write_npy(workdir.original_labels, original)
  test_ids = dataset.test.ids.tolist()
  # The ids tell which examples became the test split of a source without
  # splits.
  if not workdir.test_ids.exists() and not any('\n' in i for i in test_ids):
    text = ''.join(f'{name}\n' for name in test_ids)
    artifacts.write_bytes(workdir.test_ids, text.encode())
  if not workdir.dataset.exists():
    artifacts.write_json(workdir.dataset, dataset.description())


def _check_extra_tests(
  dataset: Dataset, before: Mapping[str, Any], workdir: Workdir
) -> None:
  """Refuses other further test splits than the workdir was begun with."""
  stated = before.get('extra_tests', {})
  here = dataset.description().get('extra_tests', {})
  for name in sorted({*stated, *here}):
    if stated.get(name) != here.get(name):
      there, now = (
        f'of fingerprint {one[name]["fingerprint"]}' if name in one else 'none'
        for one in (stated, here)
      )
      raise DataDietError(
        f'{workdir.root} was made with another extra test {name!r} (there '
        f'{there}, here {now}); use another --workdir, or '
        'config.dataset.extra_tests as it was'
      )
