"""The .npy files of users: read where they are looked at, or refused."""

import numpy as np
from etils import epath

from datadiet.errors import DataDietError


def map_npy(path: epath.Path) -> np.ndarray:
  """A user's .npy on this machine, read from disk where it is looked at.

  Raises:
    DataDietError: if the file is missing or no array without Python objects.
  """
  try:
    return np.asarray(np.lib.format.open_memmap(path, mode='r'))
  except FileNotFoundError as error:
    raise DataDietError(f'{path} does not exist') from error
  except OSError as error:
    raise DataDietError(f'cannot read {path}: {error.strerror}') from error
  except ValueError as error:
    with path.open('rb') as file:
      raise no_npy(path, file.read(16)) from error


def no_npy(path: epath.Path, content: bytes) -> DataDietError:
  """What to say of a user's file that is none, by its first bytes."""
  return DataDietError(
    f'{path} is no readable .npy file, but {_kind(content)}; save one array by '
    'np.save(PATH, array)'
  )


def _kind(content: bytes) -> str:
  """Names the kind of a file that is not .npy, by its first bytes."""
  kinds = {
    b'\x93NUMPY': 'one that is cut short or holds Python objects',
    b'PK': 'an archive, such as a .npz file or one of torch.save',
    b'\x80': 'a pickle',
    b'\x89PNG': 'a picture',
    b'\xff\xd8': 'a picture',
  }
  for beginning, kind in kinds.items():
    if content.startswith(beginning):
      return kind
  return 'text or something else' if content else 'empty'
