"""Hugging Face sets as people have them: read right, or refused."""

import json

import pytest

from datadiet.data import load_dataset
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats

pyarrow = pytest.importorskip('pyarrow')
pq = pytest.importorskip('pyarrow.parquet')

NAMES = ['cat', 'dog', 'newt']


def _table(labels, names=NAMES, seed=0, kind=None, **columns):
  """A table as the library `datasets` writes it; names=None for no metadata."""
  images = formats.random_images(len(labels), 8, seed)
  pictures = [{'bytes': formats.encode(i), 'path': None} for i in images]
  features = {'img': {'_type': 'Image'}}
  if names is not None:
    features['label'] = {'_type': 'ClassLabel', 'names': names}
  metadata = {'huggingface': json.dumps({'info': {'features': features}})}
  table = pyarrow.table(
    {'img': pictures, 'label': pyarrow.array(labels, kind), **columns}
  )
  return table.replace_schema_metadata(metadata)


def _write(root, files):
  for name, table in files.items():
    path = root / f'{name}.parquet'
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def _load(data_dir, **changes):
  return load_dataset(formats.settings('hugging_face', data_dir, **changes))


def _names(dataset, split):
  return [dataset.class_names[i] for i in getattr(dataset, split).labels]


TRAIN, TEST = [0, 1, 2, 0, 1, 2], [2, 0, 1]


def test_files_called_by_set_and_split_stay_apart(tmp_path):
  _write(
    tmp_path,
    {
      'plain_text/cifar10-train': _table(TRAIN),
      'plain_text/cifar10-test': _table(TEST, seed=1),
    },
  )
  dataset = _load(tmp_path)
  assert dataset.train.labels.tolist() == TRAIN
  assert dataset.test.labels.tolist() == TEST


def test_two_configurations_are_refused_and_each_is_read_alone(tmp_path):
  for number, config in enumerate(('full_size', '160px')):
    _write(
      tmp_path / config,
      {'train-0': _table(TRAIN, seed=number), 'test-0': _table(TEST, seed=9)},
    )
  with pytest.raises(ConfigError, match=r'2 sets: 160px \(test, train\); full'):
    _load(tmp_path)
  assert _load(tmp_path / '160px').train.num_examples == len(TRAIN)


def test_a_missing_shard_is_named(tmp_path):
  _write(tmp_path, {'train-00000-of-00003': _table(TRAIN)})
  _write(tmp_path, {'train-00002-of-00003': _table(TRAIN)})
  with pytest.raises(DataDietError, match='number 1 is missing; download'):
    _load(tmp_path)


@pytest.mark.parametrize('other', ['test', 'train-00001-of-00002'])
def test_labels_are_mapped_by_name_to_the_order_of_the_first(tmp_path, other):
  first = 'train' if other == 'test' else 'train-00000-of-00002'
  files = {
    first: _table(TRAIN),
    other: _table(TEST, names=['newt', 'cat', 'dog'], seed=1),
  }
  if other != 'test':
    files['test'] = _table(TRAIN, seed=2)
  _write(tmp_path, files)
  dataset = _load(tmp_path)
  expected = [['newt', 'cat', 'dog'][label] for label in TEST]
  assert dataset.class_names == tuple(NAMES)
  if other == 'test':
    assert _names(dataset, 'test') == expected
  else:
    assert _names(dataset, 'train')[len(TRAIN) :] == expected


def test_texts_and_fewer_classes_are_mapped_by_name_too(tmp_path):
  texts = ['dog', 'cat', 'newt']
  _write(tmp_path, {'train': _table(TRAIN), 'test': _table(texts, None)})
  assert _names(_load(tmp_path), 'test') == texts
  _write(tmp_path, {'test': _table([0, 1], ['newt', 'cat'])})
  assert _names(_load(tmp_path), 'test') == ['newt', 'cat']


def test_classes_that_the_first_file_does_not_have_are_named(tmp_path):
  names = ['newt', 'cat', 'fox']
  _write(tmp_path, {'train': _table(TRAIN), 'test': _table(TEST, names)})
  with pytest.raises(DataDietError, match='test.parquet has .* classes fox'):
    _load(tmp_path)
  _write(tmp_path, {'test': _table(TEST, None)})
  with pytest.raises(DataDietError, match='does not say which classes they'):
    _load(tmp_path)


def test_splits_saved_to_disk_one_by_one_are_found(tmp_path):
  for split, labels in (('train', TRAIN), ('val', TEST)):
    folder = tmp_path / split
    folder.mkdir()
    table = _table(labels)
    with pyarrow.OSFile(str(folder / 'data.arrow'), 'wb') as file:
      with pyarrow.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    state = {'_data_files': [{'filename': 'data.arrow'}]}
    (folder / 'state.json').write_text(json.dumps(state))
  dataset = _load(tmp_path)
  assert dataset.train.labels.tolist() == TRAIN
  assert dataset.test.labels.tolist() == TEST
  saved = tmp_path / 'dataset_dict.json'
  saved.write_text('{"splits": ["train", "val"]}')
  assert _load(tmp_path).test.labels.tolist() == TEST
  with pytest.raises(ConfigError, match='not itself what save_to_disk wrote'):
    _load(tmp_path.parent)


@pytest.mark.parametrize('names', [None, 3, [], [None, 'a'], {'0': 'a'}])
@pytest.mark.parametrize(
  'metadata', ['info', 'null', 'features', 'list', 'damaged']
)
def test_odd_metadata_is_no_traceback(tmp_path, metadata, names):
  features = {
    'img': {'_type': 'Image'},
    'label': {'_type': 'ClassLabel', 'names': names},
    'boxes': [{'_type': 'ClassLabel', 'names': ['a']}],
  }
  content = {
    'info': json.dumps({'info': {'features': features}}),
    'null': 'null',
    'features': json.dumps({'info': {'features': None}}),
    'list': json.dumps({'info': {'features': [features]}}),
    'damaged': '{"info": ',
  }[metadata]
  table = _table(TRAIN, None).replace_schema_metadata({'huggingface': content})
  _write(tmp_path, {'train': table, 'test': table})
  dataset = _load(tmp_path)
  assert dataset.class_names == ('0', '1', '2')
  assert dataset.train.labels.tolist() == TRAIN


@pytest.mark.parametrize(
  'labels, message',
  [
    ([[0], [1, 2], [2]], r'type list<.*one label for each image'),
    ([{'a': 1}] * 3, 'type struct<.*one label for each image'),
    ([0.0, 1.0, 2.0], 'type double; allowed: one label'),
    ([0, None, 2], "record 1 has no label in the column 'label'"),
    ([None, None, None], 'record 0 has no label'),
    ([0, 1, 2**40], 'the label 1099511627776 is too high'),
    ([0, 1, -1], 'record 2 has label -1'),
    ([0, 0, 0], 'two or more'),
  ],
)
def test_odd_labels_are_one_sentence(tmp_path, labels, message):
  table = _table(labels, None)
  _write(tmp_path, {'train': table, 'test': table})
  with pytest.raises(DataDietError, match=message) as error:
    _load(tmp_path)
  assert '\n' not in str(error.value)


def test_texts_that_are_numbers_are_classes_in_the_order_of_the_numbers(
  tmp_path,
):
  texts = [str(number) for number in range(12)]
  _write(tmp_path, {'train': _table(texts, None), 'test': _table(texts, None)})
  dataset = _load(tmp_path)
  assert dataset.class_names == tuple(texts)
  assert dataset.train.labels.tolist() == list(range(12))


def test_texts_of_numbered_classes_that_can_be_two_things_are_refused(tmp_path):
  names = sorted(map(str, range(12)))
  labels = list(range(12))
  texts = list(map(str, labels))
  _write(
    tmp_path, {'train': _table(labels, names), 'test': _table(texts, None)}
  )
  with pytest.raises(DataDietError, match='can be read in two ways'):
    _load(tmp_path)


def test_ids_are_chosen_by_a_setting_and_have_no_gaps(tmp_path):
  columns = {
    'id': pyarrow.array([None, 'b', None, 'd', 'e', 'f']),
    'number': pyarrow.array([10, 11, 12, 13, 14, 15]),
    'where': pyarrow.array([1.5] * 6),
  }
  table = _table(TRAIN, **columns)
  _write(tmp_path, {'train': table, 'test': table})
  with pytest.raises(
    DataDietError, match='2 records without an id in the column'
  ):
    _load(tmp_path)
  found = _load(tmp_path, id_key='number').train.ids
  assert found.tolist() == ['10', '11', '12', '13', '14', '15']
  found = _load(tmp_path, id_key='none').train.ids
  assert found.tolist() == [f'train_{i:05d}' for i in range(6)]
  with pytest.raises(ConfigError, match="id_key: .* no column 'nr'; all"):
    _load(tmp_path, id_key='nr')
  with pytest.raises(ConfigError, match='type double; allowed: one id'):
    _load(tmp_path, id_key='where')


def test_pictures_of_other_kinds_are_one_sentence(tmp_path):
  table = _table(TRAIN)
  pictures = pyarrow.array([[1, 2, 3]] * 6)
  listed = table.set_column(0, 'img', pictures)
  _write(tmp_path, {'train': listed, 'test': table})
  with pytest.raises(DataDietError, match='0 columns that could hold the im'):
    _load(tmp_path)
  _write(
    tmp_path, {'train': table, 'test': table.rename_columns(['x', 'label'])}
  )
  with pytest.raises(
    DataDietError, match='could hold the images|in the column'
  ):
    _load(tmp_path)


@pytest.mark.parametrize('name', ['test', 'validation', 'data/test-0000'])
def test_a_test_split_alone_is_not_trained_on(tmp_path, name):
  _write(tmp_path, {name: _table(TEST)})
  with pytest.raises(DataDietError, match='test|validation'):
    _load(tmp_path)


def test_texts_are_names_also_where_they_are_digits(tmp_path):
  train, test = ['1', '2', '3', '1', '2', '3'], ['1', '2', '2']
  tables = {'train': _table(train, None), 'test': _table(test, None, 1)}
  _write(tmp_path, tables)
  dataset = _load(tmp_path)
  assert _names(dataset, 'train') == train
  assert _names(dataset, 'test') == test
