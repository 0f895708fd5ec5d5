"""Tests of Hugging Face sets, saved to disk or as parquet files."""

import json
import sys

import numpy as np
import pytest
from etils import epath

from datadiet.data import load_dataset
from datadiet.data.packed import PackedImages
from datadiet.data.sources.hugging_face_files import num_rows
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats

NAMES = ['cat', 'dog', 'newt']


@pytest.fixture
def pyarrow():
  pytest.importorskip('pyarrow.parquet')
  return sys.modules['pyarrow']


def _records(num, seed, ids=False):
  images = formats.random_images(num, 16, seed)
  columns = {
    'img': [{'bytes': formats.encode(i), 'path': None} for i in images],
    'label': [(i * 2 + seed) % 3 for i in range(num)],
  }
  if ids:
    columns['id'] = [f'own-{seed}-{i}' for i in range(num)]
  return images, columns


def _table(pyarrow, columns, label_names=NAMES):
  """A table with the metadata that the library `datasets` writes."""
  features = {
    'img': {'_type': 'Image'},
    'label': {'names': label_names, '_type': 'ClassLabel'},
  }
  for name in set(columns) - set(features):
    features[name] = {'dtype': 'string', '_type': 'Value'}
  image = pyarrow.struct(
    [('bytes', pyarrow.binary()), ('path', pyarrow.string())]
  )
  fields = []
  for name in columns:
    kinds = {'img': image, 'label': pyarrow.int64()}
    fields.append((name, kinds.get(name, pyarrow.string())))
  metadata = {'huggingface': json.dumps({'info': {'features': features}})}
  schema = pyarrow.schema(fields, metadata)
  return pyarrow.table(columns, schema=schema)


def _save_to_disk(pyarrow, folder, table, num_files=2):
  folder.mkdir(parents=True)
  size = -(-len(table) // num_files)
  names = [f'data-{i:05d}-of-{num_files:05d}.arrow' for i in range(num_files)]
  for i, name in enumerate(names):
    with pyarrow.OSFile(str(folder / name), 'wb') as file:
      with pyarrow.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table.slice(i * size, size))
  state = {'_data_files': [{'filename': name} for name in names]}
  (folder / 'state.json').write_text(json.dumps(state))


def _load(data_dir, **changes):
  return load_dataset(formats.settings('hugging_face', data_dir, **changes))


def _check(split, images, columns, prefix):
  np.testing.assert_array_equal(split.images, images)
  assert split.labels.tolist() == columns['label']
  expected = columns.get('id') or [
    f'{prefix}_{i:05d}' for i in range(len(images))
  ]
  assert split.ids.tolist() == expected


@pytest.mark.parametrize('ids', [False, True])
def test_dataset_dict_saved_to_disk(tmp_path, pyarrow, ids):
  train, test = _records(11, 0, ids), _records(5, 1, ids)
  root = tmp_path / 'saved'
  for name, (_, columns) in (('train', train), ('test', test)):
    _save_to_disk(pyarrow, root / name, _table(pyarrow, columns))
  (root / 'dataset_dict.json').write_text('{"splits": ["train", "test"]}')
  dataset = _load(root)
  _check(dataset.train, *train, 'train')
  _check(dataset.test, *test, 'test')
  assert dataset.class_names == tuple(NAMES)


def test_single_dataset_saved_to_disk_is_divided(tmp_path, pyarrow):
  images, columns = _records(30, 0)
  _save_to_disk(pyarrow, tmp_path / 'saved', _table(pyarrow, columns))
  dataset = _load(tmp_path / 'saved', test_fraction=0.2)
  assert np.bincount(dataset.test.labels).tolist() == [2, 2, 2]
  for split in (dataset.train, dataset.test):
    for image, label, name in zip(split.images, split.labels, split.ids):
      record = int(name.removeprefix('train_'))
      np.testing.assert_array_equal(image, images[record])
      assert label == columns['label'][record]


_LAYOUTS = {
  'shards': 'data/{split}-{i:05d}-of-00002.parquet',
  'folders': 'default/{split}/{i:04d}.parquet',
  'capitals': 'data/{split}-{i:05d}-of-00002.PARQUET',
}


@pytest.mark.parametrize('layout', list(_LAYOUTS))
def test_parquet_files(tmp_path, pyarrow, layout):
  train, validation = _records(12, 0), _records(6, 1)
  for split, (_, columns) in (('train', train), ('validation', validation)):
    table = _table(pyarrow, columns)
    half = len(table) // 2
    for i in range(2):
      path = tmp_path / _LAYOUTS[layout].format(split=split, i=i)
      path.parent.mkdir(parents=True, exist_ok=True)
      part = table.slice(i * half, half)
      pyarrow.parquet.write_table(part, path, row_group_size=4)
  dataset = _load(tmp_path)
  _check(dataset.train, *train, 'train')
  _check(dataset.test, *validation, 'test')
  joined = _load(tmp_path, train_splits=('train', 'validation'))
  assert joined.train.num_examples + joined.test.num_examples == 18


def test_files_of_one_name_and_two_endings_are_named(tmp_path, pyarrow):
  table = _table(pyarrow, _records(12, 0)[1])
  for name in ('train.parquet', 'train.Parquet', 'test.parquet'):
    pyarrow.parquet.write_table(table, tmp_path / name)
  with pytest.raises(DataDietError, match='are the same part of one split'):
    _load(tmp_path)


def test_a_table_of_another_writer_and_one_with_two_images(tmp_path, pyarrow):
  images, columns = _records(9, 0)
  pictures = [value['bytes'] for value in columns['img']]
  large = pyarrow.array(pictures, pyarrow.large_binary())
  table = pyarrow.table({'picture': large, 'label': columns['label']})
  for split in ('train', 'test'):
    pyarrow.parquet.write_table(table, tmp_path / f'{split}.parquet')
  np.testing.assert_array_equal(_load(tmp_path).train.images, images)
  twice = table.append_column('mask', large)
  pyarrow.parquet.write_table(twice, tmp_path / 'train.parquet')
  message = '2 columns that could hold the images: picture, mask; save it'
  with pytest.raises(ConfigError, match=message):
    _load(tmp_path)


def test_table_without_metadata_and_with_texts_for_labels(tmp_path, pyarrow):
  images, columns = _records(9, 0)
  pictures = [value['bytes'] for value in columns['img']]
  texts = [NAMES[label] for label in columns['label']]
  table = pyarrow.table({'picture': pictures, 'kind': texts})
  for split in ('train', 'test'):
    pyarrow.parquet.write_table(table, tmp_path / f'{split}.parquet')
  dataset = _load(tmp_path, label_key='kind')
  np.testing.assert_array_equal(dataset.train.images, images)
  assert dataset.train.labels.tolist() == columns['label']
  assert dataset.class_names == ('cat', 'dog', 'newt')
  with pytest.raises(ConfigError, match='label_key.*picture, kind'):
    _load(tmp_path)


def test_faults_are_named(tmp_path, pyarrow):
  with pytest.raises(DataDietError, match='nor .parquet files'):
    _load(tmp_path)
  _, columns = _records(6, 0)
  for names, message in (
    (['one', 'two'], 'train.parquet: record 1 has label 2, allowed are 0 to 1'),
    (NAMES, None),
  ):
    for split in ('train', 'test'):
      path = tmp_path / f'{split}.parquet'
      pyarrow.parquet.write_table(_table(pyarrow, columns, names), path)
    if message:
      with pytest.raises(DataDietError, match=message):
        _load(tmp_path)
  content = path.read_bytes()
  path.write_bytes(content[: len(content) // 2])
  with pytest.raises(DataDietError, match='test.parquet is missing, cut short'):
    _load(tmp_path)


def test_files_that_lack_something_are_named(tmp_path, pyarrow):
  _, columns = _records(6, 0)
  table = _table(pyarrow, columns)
  pyarrow.parquet.write_table(table, tmp_path / 'train.parquet')
  other = table.drop_columns(['label'])
  pyarrow.parquet.write_table(other, tmp_path / 'test.parquet')
  with pytest.raises(
    DataDietError, match='test.parquet has 0 columns that could'
  ):
    _load(tmp_path)
  unlabelled = pyarrow.table(
    {'img': table['img'], 'label': [-1] * 6}, table.schema
  )
  pyarrow.parquet.write_table(unlabelled, tmp_path / 'test.parquet')
  with pytest.raises(DataDietError, match='parquet: record 0 has label -1'):
    _load(tmp_path)
  pyarrow.parquet.write_table(table, tmp_path / 'validation.parquet')
  assert _load(tmp_path, test_split='validation').test.num_examples == 6
  for name in ('state.json', 'dataset_dict.json'):
    (tmp_path / name).write_text('{}')
    with pytest.raises(DataDietError, match=f'{name} is missing or damaged'):
      _load(tmp_path)


def test_duplicate_ids_and_broken_images_are_named(tmp_path, pyarrow):
  _, columns = _records(4, 0, ids=True)
  columns['id'][3] = columns['id'][0]
  for split in ('train', 'test'):
    path = tmp_path / f'{split}.parquet'
    pyarrow.parquet.write_table(_table(pyarrow, columns), path)
  with pytest.raises(DataDietError, match="'own-0-0' occurs 2 times"):
    _load(tmp_path)
  columns['id'][3] = 'another'
  columns['img'][2] = {'bytes': b'broken', 'path': None}
  pyarrow.parquet.write_table(
    _table(pyarrow, columns), tmp_path / 'train.parquet'
  )
  with pytest.raises(DataDietError, match='train.parquet, record 2 cannot'):
    _load(tmp_path)


def test_missing_pyarrow_is_said(tmp_path, monkeypatch):
  monkeypatch.setitem(sys.modules, 'pyarrow', None)
  with pytest.raises(DataDietError, match=r'pip install .datadiet\[export\]'):
    _load(tmp_path)


def test_files_of_the_library_itself(tmp_path):
  """What `datasets` writes today is read, where it is installed."""
  datasets = pytest.importorskip('datasets')
  images, columns = _records(12, 0)
  features = datasets.Features(
    {'img': datasets.Image(), 'label': datasets.ClassLabel(names=NAMES)}
  )
  whole = datasets.Dataset.from_dict(columns, features=features)
  parts = datasets.DatasetDict(
    {'train': whole.select(range(8)), 'test': whole.select(range(8, 12))}
  )
  parts.save_to_disk(tmp_path / 'saved')
  (tmp_path / 'parquet').mkdir()
  for name, part in parts.items():
    part.to_parquet(tmp_path / 'parquet' / f'{name}.parquet')
  for folder in ('saved', 'parquet'):
    dataset = _load(tmp_path / folder)
    np.testing.assert_array_equal(dataset.train.images, images[:8])
    np.testing.assert_array_equal(dataset.test.images, images[8:])
    assert dataset.train.labels.tolist() == columns['label'][:8]
    assert dataset.class_names == tuple(NAMES)


@pytest.mark.parametrize('kind', ['parquet', 'saved'])
def test_auto_streams_records_that_would_fill_the_memory(
  tmp_path, pyarrow, monkeypatch, caplog, kind
):
  pytest.importorskip('array_record')
  root = tmp_path / 'set'
  splits = {'train': 12, 'test': 6, 'unused': 5}
  for seed, (split, num) in enumerate(splits.items()):
    table = _table(pyarrow, _records(num, seed)[1])
    if kind == 'saved':
      _save_to_disk(pyarrow, root / split, table)
    else:
      root.mkdir(exist_ok=True)
      pyarrow.parquet.write_table(table, root / f'{split}.parquet')
  if kind == 'saved':
    names = json.dumps({'splits': [*splits]})
    (root / 'dataset_dict.json').write_text(names)
  num_bytes = 18 * 16 * 16 * 3
  changes = {'placement': 'auto', 'image_size': 16}
  for memory, images in (
    (num_bytes, np.ndarray),
    (num_bytes - 1, PackedImages),
  ):
    monkeypatch.setattr('datadiet.data.host_memory', lambda m=memory: m)
    caplog.clear()
    with caplog.at_level('INFO'):
      dataset = _load(root, cache_dir=str(tmp_path / 'cache'), **changes)
    assert isinstance(dataset.train.images, images)
  assert 'needed: 18 images of 16x16 pixels' in caplog.text
  assert caplog.text.count('its splits unused are not used') == 1


@pytest.mark.parametrize('num_batches', [0, 1, 5])
def test_rows_of_a_stream_are_counted(tmp_path, pyarrow, num_batches):
  columns = _records(7, 0)[1]
  columns['kind'] = pyarrow.array(['a', 'b', 'c', 'a', 'b', 'c', 'a'])
  table = pyarrow.table(columns)
  # Its values are in a message of their own.
  kinds = table['kind'].dictionary_encode()
  table = table.set_column(table.schema.get_field_index('kind'), 'kind', kinds)
  path = epath.Path(tmp_path / 'a.arrow')
  with pyarrow.OSFile(str(path), 'wb') as file:
    with pyarrow.ipc.new_stream(file, table.schema) as writer:
      for _ in range(num_batches):
        writer.write_table(table, max_chunksize=3)
  assert num_rows(path) == 7 * num_batches
  content = path.read_bytes()
  # Without the mark of its end, as one that a program broke off.
  path.write_bytes(content[:-8])
  assert num_rows(path) == 7 * num_batches
  path.write_bytes(content[:11])
  with pytest.raises(DataDietError, match='missing, cut short or damaged'):
    num_rows(path)
