"""Tests of what is refused before anything is trained: files not there."""

import numpy as np
import pytest

from datadiet import config as config_lib
from datadiet.errors import ConfigError
from datadiet.runtime import extras
from datadiet.runtime.extras import MissingLibraryError
from datadiet.stages.checks import check_libraries, check_paths
from datadiet.workdir.artifacts import Workdir
from datadiet.workdir.tables import STAGES
from tests import running


def _check(tmp_path, setting, value, stages=STAGES):
  config = running.tiny_config(**{setting: str(value)})
  workdir = Workdir.at(tmp_path / 'workdir')
  check_paths(config_lib.resolve(config), workdir, stages)


@pytest.mark.parametrize(
  'setting',
  [
    'dataset__labels_path',
    'train__init_from',
    'train__subset_path',
    'select__scores_path',
  ],
)
def test_a_file_that_a_setting_names_has_to_be_there(tmp_path, setting):
  path = tmp_path / 'mine.npy'
  with pytest.raises(ConfigError, match=f'{path}.* does not exist'):
    _check(tmp_path, setting, path)
  np.save(path, np.zeros(3))
  _check(tmp_path, setting, path)


def test_a_file_of_labels_may_have_the_name_of_an_array_after_it(tmp_path):
  path = tmp_path / 'mine.npz'
  np.savez(path, worse=np.zeros(3))
  _check(tmp_path, 'dataset__labels_path', f'{path}:worse')
  with pytest.raises(ConfigError, match='does not exist'):
    _check(tmp_path, 'dataset__labels_path', f'{tmp_path}/other.npz:worse')


def test_libraries_that_crops_of_photographs_need_are_named(monkeypatch):
  """Before the images are packed, which takes hours."""
  config = running.tiny_config(
    train__augmentation='photo_crop_flip',
    dataset__placement='stream',
    dataset__crop_size=8,
  )
  find_spec = extras.importlib.util.find_spec
  monkeypatch.setattr(
    extras.importlib.util,
    'find_spec',
    lambda name: None if name == 'simplejpeg' else find_spec(name),
  )
  resolved = config_lib.resolve(config)
  with pytest.raises(
    MissingLibraryError, match=r"simplejpeg.*'datadiet\[photographs\]'"
  ):
    check_libraries(resolved, ('train',))
  check_libraries(resolved, ('select',))
