"""Reads and checks the arrays that another program's training left behind."""

import dataclasses
from collections.abc import Iterator

import numpy as np
from etils import epath

from datadiet.data import Dataset
from datadiet.errors import ConfigError, DataDietError, counted
from datadiet.workdir import artifacts, npy_files, storage, texts
from datadiet.workdir.example_lists import row_order

# How far probabilities of an example may be from a sum of 1, as float16 ones.
_SUM_ERROR = 0.01
_LARGEST = np.finfo(np.float32).max


@dataclasses.dataclass(frozen=True)
class Given:
  """The files that a user gives, '' and () for none.

  Attributes:
    logits: .npy of [epochs, N, num_classes] or [N, num_classes], one a run.
    probs: the same of probabilities.
    losses: .npy of [epochs, N] or [N], cross-entropies, one a run.
    features: .npy of [N, d], inputs of the last layer of run 0.
    held_out_probs: .npy of [N, num_classes], by networks that did not train on
      the example.
    ids: the id of each row of these files; '' for the data set's own order.
  """

  logits: tuple[str, ...] = ()
  probs: tuple[str, ...] = ()
  losses: tuple[str, ...] = ()
  features: str = ''
  held_out_probs: str = ''
  ids: str = ''

  @property
  def kind(self) -> str:
    """Which of logits, probs and losses is given; '' for none of them.

    Raises:
      ConfigError: if more than one is.
    """
    kinds = [name for name in ('logits', 'probs', 'losses') if self.paths(name)]
    if len(kinds) > 1:
      raise ConfigError(
        f'--{kinds[1]} is not allowed with --{kinds[0]}; allowed: one of '
        '--logits, --probs and --losses'
      )
    return kinds[0] if kinds else ''

  @property
  def num_runs(self) -> int:
    """How many runs; held-out predictions alone count as one."""
    return len(self.paths(self.kind)) if self.kind else 1

  @property
  def has_features(self) -> bool:
    """Whether every run has its features: those of run 0 are given alone."""
    return bool(self.features) and self.num_runs == 1

  def paths(self, kind: str) -> tuple[str, ...]:
    """The files of logits, probs or losses."""
    return getattr(self, kind)


class Rows:
  """Reads arrays whose rows are a data set's examples, in any order."""

  def __init__(self, dataset: Dataset, ids: str, folder: epath.PathLike):
    """Reads the ids.

    Args:
      dataset: the data, which names the examples and their classes.
      ids: of `Given`.
      folder: on this machine, where files of object stores are copied to.

    Raises:
      DataDietError: if the file cannot be read, or they are not those of the
        train split.
    """
    self._num_examples = dataset.train.num_examples
    self._num_classes = dataset.num_classes
    self._folder = epath.Path(folder)
    self._order: np.ndarray | None = None
    if ids:
      self._order = _order(ids, dataset.train.ids)

  def by_class(self, path: str, flag: str) -> np.ndarray:
    """float[N, num_classes] of one pass, in canonical order."""
    array = self._read(path, flag)
    self._check_shape(array, path, flag, ('N', 'C'))
    return self._in_order(array, path, flag)

  def features(self, path: str, flag: str) -> np.ndarray:
    """float32[N, d], in canonical order."""
    array = self._read(path, flag)
    self._check_shape(array, path, flag, ('N', 'd'))
    return self._in_order(array, path, flag).astype(np.float32)

  def epochs(self, path: str, flag: str) -> tuple[int, Iterator[np.ndarray]]:
    """How many epochs, and the rows of each in canonical order.

    Args:
      path: of a .npy with or without a first axis of epochs.
      flag: 'logits', 'probs' or 'losses'.
    """
    array = self._read(path, flag)
    axes = ('N',) if flag == 'losses' else ('N', 'C')
    if array.ndim == len(axes):
      array = array[None]
    self._check_shape(array, path, flag, ('epochs', *axes))

    def rows() -> Iterator[np.ndarray]:
      for number, epoch in enumerate(array):
        yield self._in_order(epoch, path, flag, f' of epoch {number}')

    return len(array), rows()

  def _read(self, path: str, flag: str) -> np.ndarray:
    array = npy_files.map_npy(self._local(path))
    if array.dtype.kind not in 'fiu':
      raise ConfigError(
        f'--{flag}: {path} holds {array.dtype}; allowed: numbers'
      )
    return array

  def _local(self, path: str) -> epath.Path:
    """A file on this machine, a copy if need be, from which arrays are read.

    Those of several runs may be larger than memory.
    """
    if not storage.is_remote(path):
      return epath.Path(path).expanduser()
    copy = self._folder / f'{len(list(self._folder.iterdir()))}.npy'
    try:
      storage.download(path, copy)
    except FileNotFoundError as error:
      raise DataDietError(f'{path} does not exist') from error
    return copy

  def _check_shape(
    self, array: np.ndarray, path: str, flag: str, axes: tuple[str, ...]
  ) -> None:
    sizes = {'N': self._num_examples, 'C': self._num_classes}
    fits = array.ndim == len(axes) and all(
      size == sizes.get(axis, size) and size
      for size, axis in zip(array.shape, axes)
    )
    if not fits:
      words = [str(sizes.get(axis, axis)) for axis in axes]
      raise ConfigError(
        f'--{flag}: {path} holds {array.dtype}{list(array.shape)}; allowed: '
        f'[{", ".join(words)}], for {self._num_examples} train examples of '
        f'{self._num_classes} classes'
      )

  def _in_order(
    self, rows: np.ndarray, path: str, flag: str, of_what: str = ''
  ) -> np.ndarray:
    """Rows in canonical order, once their values are checked."""
    # Scores are computed in float32.
    wrong = ~((rows >= -_LARGEST) & (rows <= _LARGEST))
    allowed = f'finite numbers, up to {_LARGEST:.2g}'
    if flag == 'losses':
      wrong |= rows < 0
      allowed = 'cross-entropies, 0 or more'
    if 'probs' in flag:
      wrong |= ~_are_probs(rows)[:, None]
      allowed = 'probabilities that sum to 1'
    rows_wrong = wrong.reshape(len(rows), -1).any(axis=1)
    if rows_wrong.any():
      row = int(rows_wrong.argmax())
      raise ConfigError(
        f'--{flag}: {path} has '
        f'{counted(int(rows_wrong.sum()), "row")}{of_what} not allowed, the '
        f'first row {row}: {rows[row].tolist()!s:.80}; allowed: {allowed}'
      )
    if flag == 'logits' and _are_probs(rows).all():
      raise ConfigError(
        f'--logits: all rows of {path}{of_what} are 0 or more and sum to 1, as '
        'probabilities do; allowed: logits, or --probs with this file'
      )
    return rows if self._order is None else rows[self._order]


def _are_probs(rows: np.ndarray) -> np.ndarray:
  """Which rows are probabilities, bool[N], of [N, num_classes]."""
  sums = rows.sum(axis=1, dtype=np.float64)
  return (rows >= 0).all(axis=1) & (np.abs(sums - 1) <= _SUM_ERROR)


def _order(path: str, ids: np.ndarray) -> np.ndarray:
  """The row of each example, int64[N], from the ids of the rows."""
  file = epath.Path(path).expanduser()
  if file.name.endswith('.npy'):
    given = artifacts.read_npy(file, from_user=True)
  else:
    given = np.array(texts.read_lines(file), str)
  return row_order(given, ids, f'--ids: {path}')
