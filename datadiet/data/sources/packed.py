"""Image files of a data set packed into one .npz, to be carried elsewhere.

Of each split, 'train' and 'test', it has `<split>_files`, the bytes of all its
files one after the other, `<split>_ends`, where each of them ends,
`<split>_labels` and `<split>_ids`; then `class_names`, and `mean` and `std` for
normalisation unless they are to be measured. Files stay as they were encoded,
and reading them needs no library but Pillow.
"""

import os
import zipfile
from collections.abc import Iterator, Mapping

import numpy as np
from etils import epath

from datadiet.data.dataset import Allocate, Dataset, in_memory
from datadiet.data.decoding import EncodedImage, Listing, decoded_dataset
from datadiet.errors import ConfigError, DataDietError
from datadiet.workdir import artifacts

_SPLITS = ('train', 'test')
_NEEDED = tuple(
  f'{split}_{part}'
  for split in _SPLITS
  for part in ('files', 'ends', 'labels', 'ids')
)


def packed_file(settings) -> epath.Path:
  """The file that `data_dir` names.

  Raises:
    ConfigError: if it is not set or not there.
  """
  if not settings.data_dir:
    raise ConfigError(
      "config.dataset.data_dir: '' is not allowed with packed; allowed: a .npz "
      'file of packed image files'
    )
  path = epath.Path(settings.data_dir).expanduser()
  if not path.exists() or path.is_dir():
    raise ConfigError(f'config.dataset.data_dir: {path} is not a file')
  return path


def load_packed(settings, allocate: Allocate = in_memory) -> Dataset:
  """Reads and decodes a packed data set; its order is the canonical order.

  Args:
    settings: `config.dataset`; uses `data_dir`, `image_size` and
      `skip_unreadable`.
    allocate: for the decoded images.

  Raises:
    DataDietError: if the file is missing, damaged or not as described above, or
      an image cannot be read.
  """
  path = packed_file(settings)
  arrays = _read(path)
  listings = {}
  for split in _SPLITS:
    ends, labels = arrays[f'{split}_ends'], arrays[f'{split}_labels']
    ids = np.char.decode(arrays[f'{split}_ids']).tolist()
    if not len(ends) == len(labels) == len(ids) or (
      len(ends) and ends[-1] != len(arrays[f'{split}_files'])
    ):
      raise DataDietError(f'{path}: the arrays of {split} do not fit together')
    listings[split] = Listing(ids, labels)
  return decoded_dataset(
    settings.name,
    listings,
    _encoded(arrays, listings),
    tuple(np.char.decode(arrays['class_names']).tolist()),
    settings=settings,
    allocate=allocate,
    source=os.fspath(path),
    mean=arrays.get('mean'),
    std=arrays.get('std'),
  )


def _read(path: epath.Path) -> dict[str, np.ndarray]:
  try:
    with path.open('rb') as file, np.load(file) as stored:
      arrays = dict(stored)
  except (
    OSError,
    ValueError,
    EOFError,
    TypeError,
    zipfile.BadZipFile,
  ) as error:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    raise DataDietError(
      f'{path} cannot be read as a .npz file: {reason}'
    ) from error
  missing = [key for key in (*_NEEDED, 'class_names') if key not in arrays]
  if missing:
    raise DataDietError(
      f'{path} is no packed data set: it has no array {missing[0]!r}'
    )
  return arrays


def _encoded(
  arrays: Mapping[str, np.ndarray], listings: Mapping[str, Listing]
) -> Iterator[EncodedImage]:
  for split, listing in listings.items():
    files, start = arrays[f'{split}_files'], 0
    for position, end in enumerate(arrays[f'{split}_ends'].tolist()):
      content = files[start:end].tobytes()
      yield EncodedImage(split, position, content, listing.ids[position])
      start = end


def write_packed(
  path: os.PathLike | str,
  files: Mapping[str, list[bytes]],
  labels: Mapping[str, list[int]],
  ids: Mapping[str, list[str]],
  class_names: tuple[str, ...],
  *,
  mean: tuple[float, ...] | None = None,
  std: tuple[float, ...] | None = None,
) -> None:
  """Writes what `load_packed` reads.

  Args:
    path: of the .npz file.
    files: of 'train' and 'test', the bytes of each image file.
    labels: of 'train' and 'test', of each image.
    ids: likewise; ASCII.
    class_names: in label order.
    mean: by channel, for normalisation; to be measured if None.
    std: likewise.

  Raises:
    DataDietError: if it cannot be written.
  """
  arrays = {'class_names': np.array(class_names, np.bytes_)}
  for split in _SPLITS:
    arrays[f'{split}_files'] = np.frombuffer(b''.join(files[split]), np.uint8)
    sizes = [len(content) for content in files[split]]
    arrays[f'{split}_ends'] = np.cumsum(sizes, dtype=np.int64)
    arrays[f'{split}_labels'] = np.array(labels[split], np.int32)
    arrays[f'{split}_ids'] = np.array(ids[split], np.bytes_)
  if mean is not None:
    arrays |= {'mean': np.float32(mean), 'std': np.float32(std)}
  artifacts.write_npz(epath.Path(path), arrays)
