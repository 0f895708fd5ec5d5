"""Data on gs:// or s3://: copied to the local disk before it is decoded.

So every source reads it as it reads local files, many at a time; only the
decoded arrays stay.
"""

import dataclasses
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from absl import logging
from etils import epath

from datadiet.data.settings import DatasetSettings
from datadiet.data.sources import tfds
from datadiet.errors import DataDietError, counted
from datadiet.runtime import stopping
from datadiet.runtime.progress import progress
from datadiet.workdir import atomic, storage


@contextmanager
def local_copy(
  settings: DatasetSettings, files: epath.Path, scratch: epath.Path
) -> Iterator[DatasetSettings]:
  """Copies what a source reads; removed again on leaving.

  Args:
    settings: `config.dataset`.
    files: below or at `settings.data_dir`; what the source reads.
    scratch: a folder to copy to.

  Yields:
    The settings with a local `data_dir`.

  Raises:
    DataDietError: if the local disk is full; or what is raised while the copy
      is read, with the remote path in place of the copy's.
    Preempted: if the process was asked to stop.
  """
  root = os.fspath(tfds.root_folder(settings.data_dir))
  copy = scratch / 'copy'
  try:
    try:
      _copy(files, copy / os.fspath(files)[len(root) :].lstrip('/'))
    except OSError as error:
      if not atomic.is_full(error):
        raise
      raise DataDietError(
        f'{files} cannot be copied to {scratch.parent}: {error.strerror}; '
        'config.dataset.cache_dir names another local folder'
      ) from error
    local = dataclasses.replace(settings, data_dir=os.fspath(copy))
    try:
      yield local
    except DataDietError as error:
      message = str(error).replace(os.fspath(copy), root)
      raise type(error)(message) from error
  finally:
    shutil.rmtree(scratch, ignore_errors=True)


def _copy(files: epath.Path, target: epath.Path) -> None:
  found = storage.files_below(files)
  num_bytes = sum(size for size, _ in found.values())
  logging.info('Copying %s of %s', counted(len(found), 'file'), files)
  with progress(f'Copying {files.name}', num_bytes, 'bytes') as shown:

    def advance(count: int) -> None:
      shown.advance(count)
      stopping.raise_if_requested()

    storage.copy_here(files, target, list(found), advance)
