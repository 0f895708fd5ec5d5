"""The user's own files that settings name: scores and lists of examples."""

import dataclasses

import numpy as np
from absl import logging
from etils import epath

from datadiet.config import Config
from datadiet.data import Dataset, Split
from datadiet.errors import ConfigError, DataDietError, counted
from datadiet.scoring import aggregate
from datadiet.selection.naming import name_of_file
from datadiet.selection.scaling import in_float32, scaled
from datadiet.workdir import artifacts
from datadiet.workdir.example_lists import read_example_index, row_order

# Of embeddings: rows whose nearest one is looked for, rows among which it is,
# at once, and the fewest rows with which to look at all.
_ASKED, _COMPARED, _BLOCK, _FEWEST = 1000, 20_000, 256, 100


@dataclasses.dataclass(frozen=True)
class ScoreFile:
  """A checked file of scores, to select by instead of the workdir's.

  Attributes:
    name: the file's, as `name_of_file`.
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
    ConfigError: if a subset depends on which end is hard and nothing says.
    DataDietError: if the file is missing, damaged, of other data, of another
      length, or has values that are not finite.
  """
  if not config.select.scores_path:
    return None
  path = epath.Path(config.select.scores_path).expanduser()
  scores, name = _rows(path, dataset.train), name_of_file(path)
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
  stated = manifest.get('scores', {}).get(name, {}).get('higher_is')
  higher_is = config.select.higher_is or stated or 'neither'
  if higher_is == 'neither' and config.select.ask_what_is_hard:
    reason, _ = config.select.ask_what_is_hard[0]
    why = 'the manifest beside it says that no end of them is hard'
    if not stated:
      why = 'no manifest beside it says which end of them is hard'
    raise ConfigError(
      f"config.select.higher_is: '' is not allowed with {reason} and scores of "
      f'{path}, as {why}; allowed: harder, easier'
    )
  return ScoreFile(name, scores, higher_is, artifacts.checksum(scores))


@dataclasses.dataclass(frozen=True)
class EmbeddingFile:
  """A checked file of embeddings, for policies that look at features.

  Attributes:
    name: the file's, as `name_of_file`.
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
  name = name_of_file(value)
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


def _rows(path: epath.Path, split: Split) -> np.ndarray:
  """Reads an array of a row an example, in canonical order.

  Args:
    path: of a .npy in that order, or of a .npz of one array and `ids`, the id
      of each of its rows.
    split: whose examples they are.

  Raises:
    DataDietError: if the file is missing, damaged, of another length, or of
      other ids.
  """
  if not path.name.endswith('.npz'):
    return artifacts.read_npy(path, split.num_examples, from_user=True)
  arrays = artifacts.read_npz(path, from_user=True)
  others = sorted(arrays.keys() - {'ids'})
  if 'ids' not in arrays or len(others) != 1:
    raise DataDietError(
      f'{path} holds {", ".join(sorted(arrays)) or "nothing"}; allowed: one '
      'array and ids, the id of each of its rows'
    )
  order = row_order(arrays['ids'], split.ids, path)
  array = arrays[others[0]]
  if array.shape[:1] != order.shape:
    raise DataDietError(
      f'{path} holds {others[0]} of shape {array.shape} beside {len(order)} '
      'ids; allowed: a row for each id'
    )
  return array[order]


def _warn_of_other_order(
  where: str, embeddings: np.ndarray, labels: np.ndarray
) -> None:
  """Warns where rows look as if they were those of other examples.

  If embeddings tell anything of classes, the nearest other row has the same
  label more often than two rows drawn at random.

  Args:
    where: the setting and the file.
    embeddings: float[N, d], finite in float32.
    labels: int[N].
  """
  chosen = np.random.default_rng(0).permutation(len(labels))[:_COMPARED]
  own = labels[chosen]
  chance = float(np.square(np.bincount(own) / len(own)).sum())
  num_asked = min(len(own), _ASKED)
  # Few rows, or nearly all of one class, can tell nothing.
  if num_asked < _FEWEST or chance > 0.5:
    return
  rows, _ = scaled(embeddings[chosen], centred=True)
  norms = np.einsum('nd,nd->n', rows, rows)
  num_alike = 0
  for start in range(0, num_asked, _BLOCK):
    asked = np.arange(start, min(start + _BLOCK, num_asked))
    distances = norms - 2 * (rows[asked] @ rows.T)
    distances[np.arange(len(asked)), asked] = np.inf
    num_alike += int((own[distances.argmin(axis=1)] == own[asked]).sum())
  expected = chance * num_asked
  if num_alike <= expected + 2 * np.sqrt(expected * (1 - chance)):
    logging.warning(
      '%s: of %d rows the nearest other one has the same label for %d, and by '
      'chance it would for %.0f; are they in the order of example_index? A '
      '.npz of the array and ids is put in order',
      where,
      num_asked,
      num_alike,
      expected,
    )


def _embeddings(setting: str, value: str, split: Split) -> np.ndarray:
  """Reads a row of finite numbers for each example of a split, [N, d]."""
  path = epath.Path(value).expanduser()
  array = _rows(path, split)
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
  _warn_of_other_order(f'config.{setting}: {path}', array, split.labels)
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
