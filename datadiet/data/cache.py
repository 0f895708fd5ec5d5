"""The decoded cache: data sets as memory-mapped .npy files, read in no time.

The first read of a source decodes it; later reads take the arrays from
`<cache_dir>/<name>-<key>/`, where the key says what was read (source, options,
and size and time of its files), so that changed files are read anew.
"""

import hashlib
import json
import os
from collections.abc import Callable

import numpy as np
from absl import logging
from etils import epath

from datadiet import artifacts
from datadiet.data.dataset import Dataset, Split
from datadiet.errors import DataDietError

DEFAULT_CACHE_DIR = '~/.cache/datadiet'
# Raise it when the meaning of the cached arrays changes.
_FORMAT = 1


def cached(
  name: str,
  identity: dict,
  load: Callable[[], Dataset],
  cache_dir: str = '',
) -> Dataset:
  """The data set in the cache, or `load()`, which is then put there.

  Args:
    name: the data set's name, for the folder.
    identity: everything the arrays depend on, as JSON-able values.
    load: reads and decodes the source.
    cache_dir: '' for the default, 'none' for no cache at all.

  Returns:
    The data set; its images are memory-mapped when they come from the cache.
  """
  if cache_dir == 'none':
    return load()
  key = hashlib.sha256(
    json.dumps([_FORMAT, identity], sort_keys=True).encode()
  ).hexdigest()[:16]
  root = epath.Path(cache_dir or DEFAULT_CACHE_DIR).expanduser()
  folder = root / f'{name.replace("/", "_")}-{key}'
  manifest = artifacts.read_manifest(folder)
  if manifest is not None:
    try:
      dataset = _read(folder, manifest)
      logging.info('Read %s from the cache %s', name, folder)
      return dataset
    except (OSError, ValueError, KeyError, DataDietError) as error:
      logging.warning('Cache %s is damaged (%s); reading anew', folder, error)
  dataset = load()
  try:
    _write(folder, dataset)
  except DataDietError as error:
    # A full or read-only home must not stop somebody from working.
    logging.warning('The decoded data could not be cached: %s', error)
  return dataset


def source_identity(folder: os.PathLike | str) -> list:
  """Names, sizes and times of the files below a folder, for `identity`."""
  listed = []
  for path in sorted(epath.Path(folder).iterdir()):
    stat = path.stat()
    if stat.is_directory:
      below = source_identity(path)
      listed.extend([f'{path.name}/{name}', *rest] for name, *rest in below)
    else:
      listed.append([path.name, stat.length, int(stat.mtime or 0)])
  return listed


def _write(folder: epath.Path, dataset: Dataset) -> None:
  sizes = {}
  for split_name in ('train', 'test'):
    split = getattr(dataset, split_name)
    for field in ('images', 'labels', 'ids'):
      path = folder / f'{split_name}_{field}.npy'
      artifacts.write_npy(path, getattr(split, field))
      sizes[path.name] = path.stat().length
  artifacts.write_manifest(folder, {**dataset.description(), 'sizes': sizes})


def _read(folder: epath.Path, manifest: dict) -> Dataset:
  for file_name, size in manifest['sizes'].items():
    found = (folder / file_name).stat().length
    if found != size:
      raise ValueError(f'{file_name} has {found} bytes, not {size}')

  def read_split(split_name: str) -> Split:
    images, labels, ids = (
      np.load(
        os.fspath(folder / f'{split_name}_{field}.npy'),
        mmap_mode='r' if field == 'images' else None,
      )
      for field in ('images', 'labels', 'ids')
    )
    return Split(images, labels, ids)

  return Dataset(
    name=manifest['name'],
    train=read_split('train'),
    test=read_split('test'),
    class_names=tuple(manifest['class_names']),
    mean=np.array(manifest['mean'], np.float32),
    std=np.array(manifest['std'], np.float32),
    fingerprint=manifest['fingerprint'],
  )
