"""The workdir: where each artifact lies, atomic writes, and manifests.

Every file is written under a temporary name and renamed, or by one request to
an object store, and the manifest of a folder is written last: a folder with a
manifest is complete. All paths go through `etils.epath` and `storage`, so a
workdir may be remote (`gs://...`, `s3://...`).
"""

import csv
import dataclasses
import io
import json
import os
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from datadiet.errors import DataDietError
from datadiet.workdir import npy_files, storage, tables
from datadiet.workdir.atomic import MANIFEST, write_bytes

# What helps against a damaged file that a stage writes.
MAKE_ANEW = 'delete it to make it anew'


@dataclasses.dataclass(frozen=True)
class Workdir:
  """Paths of all artifacts below one folder."""

  root: epath.Path

  @classmethod
  def at(cls, root: str | os.PathLike) -> 'Workdir':
    """A workdir at `root`; `~` is expanded, nothing is created.

    Raises:
      ConfigError: if nothing here reads such paths.
    """
    storage.check_scheme(root, '--workdir')
    return cls(epath.Path(root).expanduser())

  @property
  def config(self) -> epath.Path:
    return self.root / 'config.json'

  @property
  def dataset(self) -> epath.Path:
    return self.root / 'dataset.json'

  @property
  def original_labels(self) -> epath.Path:
    return self.root / 'original_labels.npy'

  @property
  def test_ids(self) -> epath.Path:
    return self.root / tables.TEST_IDS

  @property
  def written_first(self) -> tuple[epath.Path, ...]:
    """Files that an interrupted start may leave without a config.json."""
    return (self.dataset, self.original_labels, self.test_ids, self.timing)

  @property
  def importing(self) -> epath.Path:
    """Stands in the workdir from an import's first file to its last."""
    return self.root / '.importing'

  @property
  def timing(self) -> epath.Path:
    return self.root / 'timing.json'

  @property
  def inspection(self) -> epath.Path:
    return self.root / 'inspection'

  @property
  def audit(self) -> epath.Path:
    return self.root / 'audit'

  @property
  def report(self) -> epath.Path:
    return self.root / 'report'

  def run(self, group: str, run: int) -> epath.Path:
    """Folder of a training run; `group`: 'train', 'audit', 'retrain/<name>'."""
    return self.root / group / run_name(run)

  def runs(self, group: str) -> list[int]:
    """The numbers of the runs that have a folder in a group, ascending."""
    return runs_in(self.root / group)

  def scores(self, run: int | None, step: int) -> epath.Path:
    """Folder of one checkpoint's scores; `run=None` is the mean over runs."""
    owner = 'mean' if run is None else run_name(run)
    return self.root / 'scores' / owner / step_name(step)

  def scores_csv(self, step: int | None = None) -> epath.Path:
    """The table of mean scores of one step, or of the last scored one."""
    stem = 'scores' if step is None else f'scores_{step_name(step)}'
    return self.root / 'scores' / f'{stem}.csv'

  def selection(self, name: str, run: int | None = None) -> epath.Path:
    """Folder of a selection; `run` for those that differ by run."""
    folder = self.root / 'selections' / name
    return folder if run is None else folder / run_name(run)


def dynamics_file(run_folder: epath.Path, step: int) -> epath.Path:
  """The file of what a run recorded of each example up to a step."""
  return run_folder / 'dynamics' / f'{step_name(step)}.npz'


def run_name(run: int) -> str:
  """The folder name of a run: `run_00`, `run_01`, ..."""
  return f'run_{run:02d}'


def runs_in(folder: epath.Path) -> list[int]:
  """The numbers of the runs that have a folder in another, ascending."""
  if not folder.exists():
    return []
  found = (re.fullmatch(r'run_(\d+)', path.name) for path in folder.iterdir())
  return sorted(int(match[1]) for match in found if match)


def step_name(step: int) -> str:
  """The folder name of an optimizer step: `step_7800`."""
  return f'step_{step}'


def write_json(path: epath.PathLike, content: Any) -> None:
  """Writes `content` as indented JSON, atomically."""
  text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False)
  write_bytes(path, (text + '\n').encode())


def write_npy(path: epath.PathLike, array: np.ndarray) -> None:
  """Writes one array as .npy, atomically."""
  buffer = io.BytesIO()
  np.save(buffer, array, allow_pickle=False)
  write_bytes(path, buffer.getvalue())


def write_npz(path: epath.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes named arrays as an uncompressed .npz, atomically."""
  buffer = io.BytesIO()
  np.savez(buffer, **arrays)  # type: ignore[arg-type]
  write_bytes(path, buffer.getvalue())


def write_csv(
  path: epath.PathLike, header: Sequence[str], rows: Iterable[Sequence]
) -> None:
  """Writes a table as CSV, atomically."""
  buffer = io.StringIO()
  writer = csv.writer(buffer, lineterminator='\n')
  writer.writerow(header)
  writer.writerows(rows)
  write_bytes(path, buffer.getvalue().encode())


def read_json(path: epath.PathLike) -> Any:
  """Reads a JSON file.

  Raises:
    DataDietError: if the file is not valid JSON.
  """
  try:
    return json.loads(storage.read_bytes(path))
  except ValueError as error:  # Not JSON, or not even text.
    raise DataDietError(
      f'{path} is damaged (not valid JSON: {error}); {MAKE_ANEW}'
    ) from error


def read_bytes(path: epath.Path) -> bytes:
  """Reads a file.

  Raises:
    DataDietError: if it does not exist or cannot be read.
  """
  try:
    return storage.read_bytes(path)
  except FileNotFoundError as error:
    raise DataDietError(f'{path} does not exist') from error
  except OSError as error:
    if storage.is_remote(path):
      raise  # The error says nothing about the object's content.
    raise DataDietError(f'cannot read {path}: {error.strerror}') from error


def checksum(array: np.ndarray) -> int:
  """CRC-32 of an array's values, as manifests store it."""
  return zlib.crc32(np.ascontiguousarray(array).view(np.uint8))


def read_npy(
  path: epath.PathLike,
  num_examples: int | None = None,
  expected_checksum: int | None = None,
  *,
  from_user: bool = False,
  remedy: str = MAKE_ANEW,
):
  """Reads a .npy file; checks its length and checksum if they are given.

  Args:
    path: of the file.
    num_examples: the length it must have.
    expected_checksum: the `checksum` it must have.
    from_user: whether the file is the user's own, and not one that a stage
      writes and would write again if it were deleted.
    remedy: what to do if it is damaged, where it is not the user's own.

  Raises:
    DataDietError: if the file is missing, damaged or of another length.
  """
  path = epath.Path(path)
  remedy = '' if from_user else f'; {remedy}'
  content = read_bytes(path)
  try:
    # np.load would also open archives, of .npz and of torch.save.
    array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
  except (ValueError, EOFError, OSError) as error:
    if from_user:
      raise npy_files.no_npy(path, content) from error
    raise DataDietError(
      f'{path} is damaged (not a readable .npy file){remedy}'
    ) from error
  if num_examples is not None and array.shape[:1] != (num_examples,):
    raise DataDietError(
      f'{path} has shape {array.shape}, the data set has '
      f'{num_examples} examples'
    )
  if expected_checksum is not None and checksum(array) != expected_checksum:
    raise DataDietError(
      f'{path} is damaged (its values are not those that were written){remedy}'
    )
  return array


def read_npz(
  path: epath.PathLike, *, from_user: bool = False
) -> dict[str, np.ndarray]:
  """Reads all arrays of a .npz file.

  Args:
    path: of the file.
    from_user: as of `read_npy`.

  Raises:
    DataDietError: if the file is missing or damaged, or holds Python objects.
  """
  path = epath.Path(path)
  content = read_bytes(path)
  try:
    with np.load(io.BytesIO(content), allow_pickle=False) as archive:
      return dict(archive)
  except Exception as error:  # zipfile, zlib and numpy each raise their own.
    if from_user:
      raise DataDietError(
        f'{path} is no readable .npz file, or holds Python objects; save '
        'arrays of numbers and text by np.savez(PATH, name=array)'
      ) from error
    raise DataDietError(
      f'{path} is damaged (not a readable .npz file); {MAKE_ANEW}'
    ) from error


def write_manifest(folder: epath.PathLike, content: Mapping[str, Any]) -> None:
  """Declares a folder complete; write it after everything else in it."""
  write_json(epath.Path(folder) / MANIFEST, dict(content))


def read_manifest(folder: epath.PathLike) -> dict[str, Any] | None:
  """The manifest of a folder, or None if it was not completed."""
  path = epath.Path(folder) / MANIFEST
  return read_json(path) if path.exists() else None


def is_complete(folder: epath.PathLike, **expected: Any) -> bool:
  """Whether the folder's manifest exists and agrees with `expected`.

  A folder made from other inputs is not complete: its stage is run again. A
  folder made for other data is refused rather than overwritten.

  Raises:
    DataDietError: if the manifest names another data fingerprint.
  """
  manifest = read_manifest(folder)
  if manifest is None:
    return False
  if 'fingerprint' in expected:
    check_fingerprint(manifest, expected['fingerprint'], folder)
  return agrees(manifest, expected)


def agrees(manifest: Mapping[str, Any], expected: Mapping[str, Any]) -> bool:
  """Whether a manifest has all expected entries."""
  wanted = json.loads(json.dumps(expected))
  return all(manifest.get(key) == value for key, value in wanted.items())


def check_fingerprint(
  manifest: Mapping[str, Any], fingerprint: str, source: epath.PathLike
) -> None:
  """Refuses an artifact that was made for other data.

  Raises:
    DataDietError: if the fingerprints differ; names both.
  """
  found = manifest.get('fingerprint')
  if found != fingerprint:
    raise DataDietError(
      f'{source} was made for other data: its fingerprint is {found}, that of '
      f'the present data set {fingerprint}; use another workdir'
    )
