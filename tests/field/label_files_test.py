"""Files of labels as people have them: read right, or refused in a sentence."""

import csv
import io
import logging
import pickle

import numpy as np
import pytest

from datadiet.data import labels as labels_lib
from datadiet.data.dataset import Split, make_dataset
from datadiet.data.label_columns import column_labels
from datadiet.errors import ConfigError, DataDietError
from tests.data import formats

NUM = 100
TEN = tuple(formats.CIFAR10_NAMES)
# As TFDS stores it: ids of torchvision's order, in another order.
ORDER = np.random.default_rng(0).permutation(NUM)


def _dataset(class_names=TEN, ids=None, num=NUM):
  labels = (np.arange(num) * 7 % len(class_names)).astype(np.int32)
  images = formats.random_images(num, 4)
  ids = [f'train_{i:05d}' for i in range(num)] if ids is None else ids
  test_ids = np.array([f'test_{i}' for i in range(num)])
  return make_dataset(
    'set',
    Split(images, labels, np.array(ids)),
    Split(images, labels, test_ids),
    class_names,
  )


def _cifar():
  """A set whose records are not in the order of the numbers in their ids."""
  return _dataset(ids=[f'train_{number:05d}' for number in ORDER])


def _read(dataset, path, **settings):
  settings = formats.settings('set', '', labels_path=str(path), **settings)
  return labels_lib.apply_labels(dataset, settings).train.labels.tolist()


def _write(path, header, rows):
  with path.open('w', newline='', encoding='utf-8') as file:
    writer = csv.writer(file)
    writer.writerow(header)
    writer.writerows(rows)
  return path


def _rows(dataset, *columns):
  return zip(dataset.train.ids.tolist(), *columns)


# Classes whose names are numbers, in another order than their own.
NUMBERED = tuple(sorted(map(str, range(12))))


def test_names_that_are_numbers_are_refused_where_the_readings_differ(tmp_path):
  dataset = _dataset(NUMBERED, num=36)
  labels = dataset.train.labels.tolist()
  path = _write(tmp_path / 'l.csv', ['id', 'label'], _rows(dataset, labels))
  with pytest.raises(DataDietError, match="labels_are='names' or 'numbers'"):
    _read(dataset, path)
  assert _read(dataset, path, labels_are='numbers') == labels
  names = [NUMBERED[label] for label in labels]
  _write(path, ['id', 'label'], _rows(dataset, names))
  assert _read(dataset, path, labels_are='names') == labels
  # What both readings say alike needs no setting.
  plain = _dataset(tuple(map(str, range(12))), num=36)
  path = _write(path, ['id', 'label'], _rows(plain, labels))
  assert _read(plain, path) == labels


def test_a_table_written_here_reads_back_whatever_the_classes(tmp_path):
  for names in (NUMBERED, TEN, ('1', '0', '2'), (' cat', 'dog ')):
    dataset = _dataset(names, num=36)
    labels = dataset.train.labels.tolist()
    by_name = [names[label] for label in labels]
    path = _write(
      tmp_path / 'scores.csv',
      ['example_index', 'id', 'label', 'label_name', 'el2n'],
      zip(range(36), dataset.train.ids, labels, by_name, [0.5] * 36),
    )
    assert _read(dataset, path) == labels


def test_a_label_and_a_name_that_differ_are_refused(tmp_path):
  dataset = _dataset(num=3)
  rows = [('train_00000', 3, 'airplane'), ('train_00001', 7, 'horse')]
  path = _write(tmp_path / 'l.csv', ['id', 'label', 'label_name'], rows)
  with pytest.raises(DataDietError, match="'train_00000' with '3' and 'airpl"):
    _read(dataset, path)


def test_suggested_labels_of_an_audit_are_taken_by_name(tmp_path):
  dataset = _dataset(num=4)
  path = _write(
    tmp_path / 'label_issues.csv',
    ['id', 'given_label', 'suggested_label', 'suggested_label_name'],
    [
      ('train_00002', 4, 5, 'dog'),
      ('train_00000', 0, '', ''),
      ('train_00001', 7, 7, 'horse'),
    ],
  )
  assert _read(dataset, f'{path}:suggested_label') == [0, 7, 5, 1]
  with pytest.raises(DataDietError, match='labels_path=PATH:NAME'):
    _read(dataset, path)
  with pytest.raises(DataDietError, match="no column 'nothing', it has id, gi"):
    _read(dataset, f'{path}:nothing')


def test_corrections_alone_are_taken(tmp_path):
  dataset = _dataset(num=4)
  path = _write(tmp_path / 'l.csv', ['id', 'label'], [('train_00003', 'cat')])
  assert _read(dataset, path) == [0, 7, 4, 3]


@pytest.mark.parametrize(
  'rows, message',
  [
    ([('train_00000', 'cat'), ('train_00000', 'dog')], "'train_00000' twice"),
    ([('train_00000', 'cat'), ('train_00001', '3')], 'names alone or numbers'),
    ([('train_00000', '')], "'train_00000' has label ''"),
    ([('test_0', 'cat')], 'but one of its test split'),
    ([('0', 'cat')], "'0' is no id"),
    ([('train_00000', '1e9')], 'neither a class name nor a number'),
    ([('train_00000', '99999999999999999999')], 'neither a class name nor'),
    ([('train_00000', '-1')], 'has label -1, allowed are 0 to 9'),
    ([('train_00000', '٣')], 'neither a class name nor a number'),
  ],
)
def test_wrong_rows_are_one_sentence(tmp_path, rows, message):
  path = _write(tmp_path / 'l.csv', ['id', 'label'], rows)
  with pytest.raises(DataDietError, match=message):
    _read(_dataset(num=4), path)


@pytest.mark.parametrize(
  'row, message',
  [
    ('train_00000', "'train_00000' has label ''"),
    ('train_00000,a,3', 'row 0 has 3 cells for 2 columns.*quote'),
    ('train_00000,3,', None),
  ],
)
def test_rows_of_another_length_are_refused(tmp_path, row, message):
  (tmp_path / 'l.csv').write_text(f'id,label\n{row}\n')
  if message is None:
    assert _read(_dataset(num=2), tmp_path / 'l.csv') == [3, 7]
    return
  with pytest.raises(DataDietError, match=message):
    _read(_dataset(num=2), tmp_path / 'l.csv')


def test_names_are_the_same_in_every_unicode_form_and_with_blanks(tmp_path):
  dataset = _dataset(('caf\u00e9', 'tea'), num=2)
  rows = [('train_00000', ' tea'), ('train_00001', 'cafe\u0301 ')]
  path = _write(tmp_path / 'l.csv', ['id', 'label'], rows)
  assert _read(dataset, path) == [1, 0]


@pytest.mark.parametrize(
  'names',
  [('caf\u00e9', 'cafe\u0301'), ('cat', 'cat '), ('a', 'b', 'a'), ('\ta', 'a')],
)
def test_classes_of_one_name_are_refused(names):
  with pytest.raises(DataDietError, match='has two classes that read'):
    _dataset(names)


@pytest.mark.parametrize('name', ['', ' ', '\x85', '\u3000\t'])
def test_a_class_without_a_name_is_refused(name):
  """An empty cell of a table would mean it."""
  with pytest.raises(DataDietError, match='a class whose name is blank'):
    _dataset(('cat', name, 'dog'))


@pytest.mark.parametrize('labels', [[0] * 4, [2] * 4])
def test_a_single_class_is_refused(labels):
  images = formats.random_images(4, 4)
  ids = np.array(list('abcd'))
  split = Split(images, np.array(labels, np.int32), ids)
  with pytest.raises(DataDietError, match='two or more classes are needed'):
    make_dataset('set', split, split, ('a', 'b', 'archive'))


def test_numbers_that_pandas_made_floats_are_numbers():
  names = ('a', 'b', 'c')
  assert column_labels(['2.0', '0', '1.00'], names, 'x').tolist() == [2, 0, 1]
  with pytest.raises(DataDietError, match="row 1 has label '1.5'"):
    column_labels(['2.0', '1.5'], names, 'x')


def _cifar_n(dataset):
  """CIFAR-10N's dictionary, in torchvision's order."""
  clean = np.zeros(NUM, np.int64)
  clean[ORDER] = dataset.train.labels
  worse = clean.copy()
  worse[::5] = (worse[::5] + 1) % 10
  return {'clean_label': clean, 'worse_label': worse, 'aggre_label': clean}


def _expected(dataset, labels):
  return labels[ORDER].tolist()


def _save_npy(path, found):
  np.save(path, found)


def _save_npz(path, found):
  np.savez(path, **found)


def _save_old_torch(path, found):
  """As torch.save wrote before PyTorch 1.6."""
  header = (0x1950A86A20F9469CFC6C, 1001, {'little_endian': True})
  path.write_bytes(b''.join(pickle.dumps(part, 2) for part in (*header, found)))


WRITERS = [
  (_save_npy, 'c.npy'),
  (_save_npz, 'c.npz'),
  (formats.save_torch, 'CIFAR-10_human.pt'),
  (_save_old_torch, 'c.pt'),
  (formats.save_torch, 'named_wrong.npy'),
]


@pytest.mark.parametrize('write, name', WRITERS)
def test_dictionaries_of_cifar_n_are_put_into_the_order_of_the_ids(
  tmp_path, write, name
):
  dataset = _cifar()
  found = _cifar_n(dataset)
  write(tmp_path / name, found)
  labels = _read(dataset, f'{tmp_path / name}:worse_label')
  assert labels == _expected(dataset, found['worse_label'])
  # The same file in the order of the records is told apart by clean labels.
  found = {key: values[ORDER] for key, values in found.items()}
  write(tmp_path / name, found)
  ordered = _read(dataset, f'{tmp_path / name}:worse_label')
  assert ordered == labels == found['worse_label'].tolist()
  with pytest.raises(DataDietError, match='the arrays aggre_label, clean_lab'):
    _read(dataset, tmp_path / name)
  with pytest.raises(DataDietError, match="no array 'fine', it has aggre_lab"):
    _read(dataset, f'{tmp_path / name}:fine')


def test_clean_labels_of_other_data_are_refused(tmp_path):
  dataset = _cifar()
  found = _cifar_n(dataset)
  found['clean_label'] = (found['clean_label'] + 3) % 10
  np.save(tmp_path / 'c.npy', found)
  with pytest.raises(DataDietError, match=r'agree with \d+% .*other data'):
    _read(dataset, f'{tmp_path / "c.npy"}:worse_label')


def test_an_array_in_another_order_is_refused_or_put_right(tmp_path):
  dataset = _cifar()
  worse = _cifar_n(dataset)['worse_label']
  np.save(tmp_path / 'l.npy', worse)
  with pytest.raises(DataDietError, match='but 20 in that of the numbers'):
    _read(dataset, tmp_path / 'l.npy')
  right = _read(dataset, tmp_path / 'l.npy', labels_order='ids')
  assert right == _expected(dataset, worse)
  as_given = _read(dataset, tmp_path / 'l.npy', labels_order='index')
  assert as_given == worse.tolist()
  np.save(tmp_path / 'l.npy', worse[ORDER])
  assert _read(dataset, tmp_path / 'l.npy') == right
  named = _dataset(ids=[f'photo {i} of mine' for i in range(NUM)])
  with pytest.raises(ConfigError, match="labels_order: 'ids' is not allowed"):
    _read(named, tmp_path / 'l.npy', labels_order='ids')


def test_more_than_half_changed_is_a_warning_with_causes(tmp_path, caplog):
  dataset = _dataset()
  np.save(tmp_path / 'l.npy', (dataset.train.labels + 1) % 10)
  with caplog.at_level(logging.WARNING):
    _read(dataset, tmp_path / 'l.npy')
  assert 'more than half of the labels. Likely causes' in caplog.text
  caplog.clear()
  np.save(tmp_path / 'l.npy', dataset.train.labels)
  with caplog.at_level(logging.WARNING):
    _read(dataset, tmp_path / 'l.npy')
  assert not caplog.text


def test_an_array_of_names_is_read_as_names(tmp_path):
  dataset = _dataset(num=4)
  np.save(tmp_path / 'l.npy', np.array(['cat', 'dog', 'frog', 'ship']))
  assert _read(dataset, tmp_path / 'l.npy') == [3, 5, 6, 8]
  names = np.array(['cat', 'dog', 'frog', 'ship'], object)
  np.save(tmp_path / 'l.npy', names)
  assert _read(dataset, tmp_path / 'l.npy') == [3, 5, 6, 8]
  np.save(tmp_path / 'l.npy', np.array([[3], [5], [6], [8]]))
  assert _read(dataset, tmp_path / 'l.npy') == [3, 5, 6, 8]


class _Malicious:
  def __init__(self, path):
    self._path = path

  def __reduce__(self):
    return (open, (str(self._path), 'w'))


@pytest.mark.parametrize(
  'write, name',
  [
    (lambda path, value: path.write_bytes(pickle.dumps(value)), 'l.pt'),
    (formats.save_torch, 'l.pt'),
    (_save_old_torch, 'l.pth'),
    (lambda path, value: np.save(path, np.array([value], object)), 'l.npy'),
    (lambda path, value: np.savez(path, l=np.array([value], object)), 'l.npz'),
  ],
)
def test_no_file_of_labels_runs_code(tmp_path, write, name):
  written = tmp_path / 'written'
  write(tmp_path / name, {'labels': _Malicious(written)})
  with pytest.raises(DataDietError, match='cannot be read as arrays of labels'):
    _read(_dataset(num=4), tmp_path / name)
  assert not written.exists()


def _npz_bytes():
  buffer = io.BytesIO()
  np.savez(buffer, a=np.zeros(4, int), b=np.zeros(4, int))
  return buffer.getvalue()


@pytest.mark.parametrize(
  'name, content, message',
  [
    ('l.npy', b'id,label\ntrain_00000,1\n', 'looks like text'),
    ('l.npy', b'', 'looks like text, or is empty'),
    ('l.npy', _npz_bytes(), 'has the arrays a, b; say which'),
    ('l.npy', _npz_bytes()[:60], 'cannot be read as arrays'),
    ('l.csv', _npz_bytes(), 'has the arrays a, b; say which'),
    ('l.csv', b'\x89PNG\r\n\x1a\n\0\0', 'is not a CSV file'),
    ('l.pt', b'\x80\x02}q\x00X\x01', 'cannot be read as arrays of labels'),
    ('l.parquet', b'id,label\n', 'is not a Parquet file'),
    ('l.txt', b'1\n2\n', 'labels_path: .* is not allowed; allowed: a file'),
  ],
)
def test_files_of_another_kind_are_one_sentence(
  tmp_path, name, content, message
):
  (tmp_path / name).write_bytes(content)
  with pytest.raises(DataDietError, match=message) as error:
    _read(_dataset(num=4), tmp_path / name)
  assert '\n' not in str(error.value)


def test_folders_where_a_file_is_expected_are_one_sentence(tmp_path):
  for name in ('l.npy', 'l.csv', 'l.pt'):
    (tmp_path / name).mkdir()
    with pytest.raises(DataDietError, match=f'cannot read .*{name}: Is a dir'):
      _read(_dataset(num=4), tmp_path / name)


@pytest.mark.parametrize(
  ('names', 'texts'),
  [
    (('1', '2', '3'), ('1.0', '2.0')),  # A table with gaps, by pandas.
    (('001', '002', '003'), ('1', '2')),  # A spreadsheet.
    (('001', '002', '003'), ('1.0', '2.00')),
    (('1', '2', 'cat'), ('1.0',)),
  ],
)
def test_numbers_that_tables_make_of_names_are_refused(names, texts):
  with pytest.raises(DataDietError, match='can be read in two ways'):
    column_labels(texts, names, 'l.csv')
  labels = [int(float(text)) for text in texts]
  found = column_labels(texts, names, 'l.csv', 'names')
  assert found.tolist() == [label - 1 for label in labels]
  found = column_labels(texts, names, 'l.csv', 'numbers')
  assert found.tolist() == labels


@pytest.mark.parametrize(
  ('names', 'texts', 'labels'),
  [
    (('1', '01'), ('1.0', '1'), [1, 1]),  # Which class is 1.0?
    (('cat', 'dog'), ('1.0', '0'), [1, 0]),
    (('0', '1', '2'), ('2.0', '1'), [2, 1]),
    (('1', '2', '3'), ('0.0', '1.0'), [0, 1]),  # 0 is no name.
  ],
)
def test_numbers_that_can_only_be_read_in_one_way_are(names, texts, labels):
  assert column_labels(texts, names, 'l.csv').tolist() == labels


def test_an_array_of_integers_that_are_names_too_is_refused(tmp_path):
  names = ('1', '2', '3')
  dataset = _dataset(names)
  path = tmp_path / 'l.npy'
  np.save(path, np.array(dataset.train.labels) % 2 + 1)
  with pytest.raises(DataDietError, match='can be read in two ways'):
    _read(dataset, path)
  named = _read(dataset, path, labels_are='names')
  numbered = _read(dataset, path, labels_are='numbers')
  assert [label + 1 for label in named] == numbered
  np.save(path, dataset.train.labels)  # With zeros, which name no class.
  assert _read(dataset, path) == dataset.train.labels.tolist()
