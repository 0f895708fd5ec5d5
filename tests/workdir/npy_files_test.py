"""Tests of the .npy files of users."""

import pickle

import numpy as np
import pytest
from etils import epath

from datadiet.errors import DataDietError
from datadiet.workdir import npy_files


def test_a_user_s_array_is_read_from_disk_where_it_is_looked_at(tmp_path):
  path = epath.Path(tmp_path / 'large.npy')
  np.save(path, np.arange(12, dtype=np.float32).reshape(3, 4))
  array = npy_files.map_npy(path)
  assert isinstance(array.base, np.memmap) and not array.flags.writeable
  np.testing.assert_array_equal(array[1], [4, 5, 6, 7])
  content = path.read_bytes()
  np.save(tmp_path / 'objects.npy', np.array([{}]), allow_pickle=True)
  for name, wrong, message in (
    ('cut.npy', content[:-1], 'cut short or holds Python objects'),
    ('empty.npy', b'', 'no readable .npy file, but empty'),
    ('saved.npy', pickle.dumps([1.0]), 'but a pickle'),
    ('objects.npy', None, 'cut short or holds Python objects'),
  ):
    if wrong is not None:
      (tmp_path / name).write_bytes(wrong)
    with pytest.raises(DataDietError, match=f'{name} .*{message}'):
      npy_files.map_npy(epath.Path(tmp_path / name))
  with pytest.raises(DataDietError, match='gone.npy does not exist'):
    npy_files.map_npy(epath.Path(tmp_path / 'gone.npy'))
  with pytest.raises(DataDietError, match='cannot read'):
    npy_files.map_npy(epath.Path(tmp_path))
