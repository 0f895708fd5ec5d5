"""Settings that a source does not use are refused; those it uses are keyed."""

import dataclasses

import numpy as np
import pytest

from datadiet.data import DATASETS, TFDS, Source, load_dataset
from datadiet.data.dataset import Split, make_dataset
from datadiet.data.settings import DatasetSettings
from datadiet.errors import ConfigError
from tests.data import formats

FIELDS = {field.name for field in dataclasses.fields(DatasetSettings)}
# A value of each setting that is not its default.
OTHER = {
  'data_dir': '/somewhere',
  'label_key': 'coarse_label',
  'id_key': 'name',
  'image_size': 16,
  'resize': 'shorter_side',
  'train_splits': ('train', 'extra'),
  'test_split': 'extra',
  'test_fraction': 0.3,
  'skip_unreadable': True,
  'background': 'black',
}


def test_every_setting_of_a_source_is_a_field():
  for source in (*DATASETS.values(), TFDS):
    assert set(source.settings) <= set(OTHER) <= FIELDS


UNUSED = [
  (name, field)
  for name, source in DATASETS.items()
  for field in OTHER
  if field not in source.settings
  and not (field == 'data_dir' and source.files is not None)
]


@pytest.mark.parametrize('name, field', UNUSED)
def test_settings_that_a_source_does_not_use_are_refused(name, field):
  settings = formats.settings(name, '', **{field: OTHER[field]})
  message = f'{field}: .* is not allowed with {name}, which does not use it'
  with pytest.raises(ConfigError, match=message) as error:
    load_dataset(settings)
  assert '\n' not in str(error.value)


def test_settings_of_labels_need_labels():
  for name in ('labels_are', 'labels_order'):
    value = {'labels_are': 'names', 'labels_order': 'ids'}[name]
    with pytest.raises(ConfigError, match=f'{name}: .* without dataset.labels'):
      load_dataset(formats.settings('digits', '', **{name: value}))


def _mine(settings, allocate=None):
  size = settings.image_size or 8
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, (6, size, size, 1), np.uint8)
  ids = np.array([f'e{i}' for i in range(6)])
  split = Split(images, (np.arange(6) % 2).astype(np.int32), ids)
  return make_dataset('mine', split, split, ('a', 'b'))


def test_a_declared_setting_is_in_the_key_of_the_cache(tmp_path, monkeypatch):
  (tmp_path / 'data').mkdir()
  source = Source(_mine, lambda settings: settings.data_dir, ('image_size',))
  monkeypatch.setitem(DATASETS, 'mine', source)
  cache = tmp_path / 'cache'
  for size in (0, 4, 0):
    settings = formats.settings(
      'mine', tmp_path / 'data', cache, image_size=size
    )
    assert load_dataset(settings).image_shape[0] == (size or 8)
  assert len(list(cache.glob('mine-*'))) == 2


def test_a_setting_cannot_be_used_without_being_declared(monkeypatch):
  monkeypatch.setitem(DATASETS, 'mine', Source(_mine))
  with pytest.raises(AttributeError, match='image_size is not among the sett'):
    load_dataset(formats.settings('mine', ''))
