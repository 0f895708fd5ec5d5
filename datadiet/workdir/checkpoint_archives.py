"""Checkpoints on object stores: one archive an item, each there whole or not.

`<step>/manifest/metadata` is written first, then `<step>/variables.tar`, then
`<step>/rest.tar`, and they are deleted the other way round: beside what is
there lies all that it needs. Orbax itself works on the local disk.
"""

import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import orbax.checkpoint as ocp
from etils import epath

from datadiet.workdir import storage

_MANIFEST = 'manifest/metadata'


def path_of(folder: epath.Path, item: str) -> epath.Path:
  """Where an item of a checkpoint lies: a folder, or its archive."""
  return folder / (f'{item}.tar' if storage.is_remote(folder) else item)


def save(
  checkpointer: ocp.AsyncCheckpointer,
  folder: epath.Path,
  items: Sequence[str],
  content: Any,
) -> None:
  """Saves a checkpoint to the local disk, then uploads it.

  Args:
    checkpointer: at rest.
    folder: remote, of the step; without a checkpoint in it.
    items: names, the one that makes the checkpoint complete last.
    content: what `checkpointer` saves.
  """
  with tempfile.TemporaryDirectory() as scratch:
    local = epath.Path(scratch) / folder.name
    checkpointer.save(local, args=content)
    checkpointer.wait_until_finished()
    storage.upload(local / _MANIFEST, folder / _MANIFEST)
    for item in items:
      archive = epath.Path(scratch) / f'{item}.tar'
      with tarfile.open(archive, 'w') as file:
        file.add(local / item, item)
      storage.upload(archive, path_of(folder, item))
      archive.unlink()


@contextmanager
def on_disk(folder: epath.Path, item: str) -> Iterator[epath.Path]:
  """A local folder with an item and the manifest; the folder itself if local.

  What is damaged or gone is missing there, for the reader to find out.
  """
  if not storage.is_remote(folder):
    yield folder
    return
  with tempfile.TemporaryDirectory() as scratch:
    local = epath.Path(scratch)
    (local / _MANIFEST).parent.mkdir()
    with suppress(FileNotFoundError, tarfile.TarError):
      storage.download(folder / _MANIFEST, local / _MANIFEST)
      archive = path_of(folder, item)
      storage.download(archive, local / archive.name)
      with tarfile.open(local / archive.name) as file:
        file.extractall(local, filter='data')
    yield local


def remove(folder: epath.Path, items: Sequence[str]) -> None:
  """Removes a checkpoint.

  Args:
    folder: of the step.
    items: of `save`.
  """
  if storage.is_remote(folder):
    for item in reversed(items):
      path_of(folder, item).unlink(missing_ok=True)
  folder.rmtree()


def remove_item(folder: epath.Path, item: str) -> None:
  """Removes one item of a checkpoint."""
  if storage.is_remote(folder):
    path_of(folder, item).unlink()
  else:
    (folder / item).rmtree()
