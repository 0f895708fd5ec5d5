"""The user's own files that settings name: scores and lists of examples."""

import dataclasses

import numpy as np
from etils import epath

from datadiet.config import Config
from datadiet.data import Dataset, Split
from datadiet.errors import ConfigError, counted
from datadiet.scoring import aggregate
from datadiet.selection import POLICIES
from datadiet.selection.scaling import in_float32
from datadiet.workdir import artifacts
from datadiet.workdir.example_lists import read_example_index


@dataclasses.dataclass(frozen=True)
class ScoreFile:
  """A checked file of scores, to select by instead of the workdir's.

  Attributes:
    name: the file's, without its ending.
    scores: float[N], in canonical order.
    higher_is: 'harder', 'easier', or 'neither' where nothing says it.
    checksum: of the values, so that a file that changes is noticed.
  """

  name: str
  scores: np.ndarray
  higher_is: str
  checksum: int


def read_score_file(config: Config, dataset: Dataset) -> ScoreFile | None:
  """Reads the scores of config.select.scores_path; None if there is no path.

  A manifest beside the file, as the score stage writes it, states which data
  the scores belong to and which end is hard.

  Raises:
    ConfigError: if a policy needs to know which end is hard and nothing says.
    DataDietError: if the file is missing, damaged, of other data, of another
      length, or has values that are not finite.
  """
  if not config.select.scores_path:
    return None
  path = epath.Path(config.select.scores_path).expanduser()
  scores = artifacts.read_npy(path, dataset.train.num_examples, from_user=True)
  name = path.name.removesuffix('.npy')
  if scores.ndim != 1 or scores.dtype.kind not in 'iuf':
    raise ConfigError(
      f'config.select.scores_path: {path} holds {scores.dtype}'
      f'{list(scores.shape)}; allowed: one number an example'
    )
  aggregate.check_finite(
    scores,
    name=name,
    where=str(path),
    advice='scores of the predecessor, which may have infinite ones, are '
    'converted by python -m tools.old_scores',
  )
  manifest = artifacts.read_manifest(path.parent) or {}
  if 'fingerprint' in manifest:
    artifacts.check_fingerprint(manifest, dataset.fingerprint, path)
  statement = manifest.get('scores', {}).get(name, {})
  higher_is = config.select.higher_is or statement.get('higher_is', 'neither')
  for policy in config.select.policy_names:
    if higher_is == 'neither' and 'higher_is' in POLICIES[policy].needs:
      raise ConfigError(
        f"config.select.higher_is: '' is not allowed with the policy "
        f'{policy!r} and scores from a file that no manifest describes; '
        'allowed: harder, easier'
      )
  return ScoreFile(name, scores, higher_is, artifacts.checksum(scores))


@dataclasses.dataclass(frozen=True)
class EmbeddingFile:
  """A checked file of embeddings, for policies that look at features.

  Attributes:
    name: the file's, without its ending.
    embeddings: float[N, d], in canonical order.
    checksum: of the values, so that a file that changes is noticed.
  """

  name: str
  embeddings: np.ndarray
  checksum: int


def read_embedding_file(
  config: Config, dataset: Dataset
) -> EmbeddingFile | None:
  """Reads config.select.embeddings_path; None if there is no path.

  Raises:
    ConfigError: if they are no rows of finite numbers.
    DataDietError: if the file is missing, damaged, holds Python objects, or is
      of another length.
  """
  value = config.select.embeddings_path
  if not value:
    return None
  array = _embeddings('select.embeddings_path', value, dataset.train)
  name = epath.Path(value).name.removesuffix('.npy')
  return EmbeddingFile(name, array, artifacts.checksum(array))


def read_inspected(
  config: Config, dataset: Dataset
) -> tuple[np.ndarray | None, np.ndarray | None]:
  """Reads config.inspect.embeddings_path and test_embeddings_path.

  Returns:
    float32[N, d] and float32[M, d]; None for those without a path.

  Raises:
    ConfigError: if they are no rows of finite numbers, or not of one length.
    DataDietError: as `read_embedding_file`.
  """
  paths = config.inspect.embeddings_path, config.inspect.test_embeddings_path
  if not paths[0]:
    if paths[1]:
      raise ConfigError(
        f'config.inspect.test_embeddings_path: {paths[1]!r} is not allowed '
        'without inspect.embeddings_path; allowed: both, or none'
      )
    return None, None
  found = [
    _embeddings(f'inspect.{name}', path, split).astype(np.float32)
    if path
    else None
    for name, path, split in zip(
      ('embeddings_path', 'test_embeddings_path'),
      paths,
      (dataset.train, dataset.test),
      strict=True,
    )
  ]
  train, test = found
  if train is not None and test is not None and train.shape[1] != test.shape[1]:
    raise ConfigError(
      f'config.inspect.test_embeddings_path: {paths[1]} has rows of '
      f'{test.shape[1]} numbers; allowed: of {train.shape[1]}, as '
      'inspect.embeddings_path has'
    )
  return train, test


def _embeddings(setting: str, value: str, split: Split) -> np.ndarray:
  """Reads a row of finite numbers for each example of a split, [N, d]."""
  path = epath.Path(value).expanduser()
  array = artifacts.read_npy(path, split.num_examples, from_user=True)
  if array.ndim != 2 or not array.size or array.dtype.kind not in 'iuf':
    raise ConfigError(
      f'config.{setting}: {path} holds {array.dtype}{list(array.shape)}; '
      'allowed: a row of numbers an example'
    )
  broken = np.flatnonzero(~in_float32(array).all(axis=1))
  if len(broken):
    raise ConfigError(
      f'config.{setting}: {path} has {counted(len(broken), "row")} not finite '
      f'in float32, the first that of example_index {broken[0]}; allowed: '
      f'finite numbers, up to {np.finfo(np.float32).max:.2g}'
    )
  return array


def read_subset(config: Config, dataset: Dataset) -> np.ndarray | None:
  """Reads the examples of config.train.subset_path, ascending; None for all.

  A manifest beside the file may state which data they belong to.

  Raises:
    DataDietError: if they are no list of examples, or of other data.
  """
  if not config.train.subset_path:
    return None
  path = epath.Path(config.train.subset_path).expanduser()
  example_index = read_example_index(path, dataset.train.num_examples)
  folder = path if path.is_dir() else path.parent
  manifest = artifacts.read_manifest(folder) or {}
  if 'fingerprint' in manifest:
    artifacts.check_fingerprint(manifest, dataset.fingerprint, folder)
  return np.sort(example_index)
