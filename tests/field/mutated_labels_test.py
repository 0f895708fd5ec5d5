"""Mutated files of labels: each example gets the label that its row says."""

import csv
import io
import re
import unicodedata

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from datadiet.data import labels as labels_lib
from datadiet.data.dataset import Split, make_dataset
from tests.data import formats
from tests.field import mutations

_CLASS_NAMES = st.one_of(
  st.sampled_from(
    [
      ('cat', 'dog', 'newt'),
      ('0', '1', '2'),
      ('1', '0', '2'),
      tuple(sorted(map(str, range(12)))),
      ('1', 'cat', '007'),
      ('1.0', '0.0'),
      ('café', 'cafe', 'Cat', 'cat'),
    ]
  ),
  st.lists(
    mutations.NAMES.filter(str.strip),
    min_size=2,
    max_size=5,
    unique_by=lambda name: _plain(name),
  ).map(tuple),
)
_IDS = st.lists(mutations.NAMES, min_size=4, max_size=6, unique=True)
_NUMBERED = st.permutations([f'train_{i:05d}' for i in range(6)])
_CELLS = ('', 'unknown', '-1', '99', '1.5', '1e3', '0x1', 'nan', '٣', '²', ' 0')
_REFUSED = (
  'unknown id',
  'id twice',
  'no id column',
  'no label column',
  'other separator',
  'short row',
  'column twice',
)
_MUTATIONS = ('',) * 8 + ('cell',) * 3 + ('pandas', *_REFUSED)
_BREAKS = ('\r', '\n')


@st.composite
def tables(draw):
  """A data set's class names and ids, a CSV, and what it says of whom."""
  class_names = draw(_CLASS_NAMES)
  ids = draw(st.one_of(_IDS, _NUMBERED))
  form = draw(st.sampled_from(['names', 'numbers', 'both']))
  mutation = draw(st.sampled_from(_MUTATIONS))
  rows = draw(st.permutations(ids))[: draw(st.integers(1, len(ids)))]
  said = [draw(st.integers(0, len(class_names) - 1)) for _ in rows]
  columns = {'id': rows, 'el2n': ['0.5'] * len(rows)}
  if form != 'names':
    columns['label'] = list(map(str, said))
  if form != 'numbers':
    key = 'label' if form == 'names' else 'label_name'
    columns[key] = [class_names[label] for label in said]
  if mutation == 'cell':
    place = draw(st.integers(0, len(rows) - 1))
    columns['label'][place] = draw(st.sampled_from(_CELLS))
  elif mutation == 'pandas' and form != 'names':
    columns['label'] = [f'{cell}.0' for cell in columns['label']]
  elif mutation == 'unknown id':
    columns['id'] = ['nobody', *rows[1:]]
  elif mutation == 'id twice':
    columns = {key: [*cells, cells[0]] for key, cells in columns.items()}
  elif mutation in ('no id column', 'no label column'):
    what = mutation.split()[1]
    columns = {key.replace(what, 'x'): c for key, c in columns.items()}
  order = draw(st.permutations(list(columns)))
  order = [*order, order[0]] if mutation == 'column twice' else order
  cells = [list(row) for row in zip(*(columns[name] for name in order))]
  if mutation == 'short row':
    del cells[-1][1:]
  table = io.StringIO()
  writer = csv.writer(
    table,
    delimiter=';' if mutation == 'other separator' else ',',
    quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    lineterminator=draw(st.sampled_from(['\n', '\r\n'])),
  )
  writer.writerows([order, *cells])
  content = table.getvalue().encode(
    draw(st.sampled_from(['utf-8', 'utf-8-sig']))
  )
  return class_names, ids, content, columns, (form, mutation), rows, said


def _plain(text):
  return unicodedata.normalize('NFC', text.strip())


def _meant(cells, class_names):
  """The labels that all cells mean in the one way they can be read, or None."""
  by_name = {_plain(name): label for label, name in enumerate(class_names)}
  readings = []
  if all(_plain(cell) in by_name for cell in cells):
    readings.append([by_name[_plain(cell)] for cell in cells])
  numbers = [
    number
    for cell in cells
    for number in range(len(class_names))
    if re.fullmatch(rf'\+?0*{number}(\.0+)?', cell.strip())
  ]
  if len(numbers) == len(cells):
    readings.append(numbers)
  return readings[0] if readings and readings[0] == readings[-1] else None


def _dataset(class_names, ids):
  num = len(ids)
  labels = (np.arange(num) % len(class_names)).astype(np.int32)
  images = formats.random_images(num, 4)
  split = Split(images, labels, np.array(ids))
  test = Split(images, labels, np.array([f'test {i}' for i in range(num)]))
  return make_dataset('set', split, test, class_names)


def _read(dataset, path):
  settings = formats.settings('set', '', labels_path=str(path))
  return mutations.read_or_refused(
    'labels', labels_lib.apply_labels, dataset, settings
  )


@given(tables())
@mutations.inputs(0.2)
def test_each_example_gets_the_label_of_its_row(table):
  class_names, ids, content, columns, (form, mutation), rows, said = table
  before = _dataset(class_names, ids)
  with mutations.folder() as root:
    (root / 'l.csv').write_bytes(content)
    after = _read(before, root / 'l.csv')
  if mutation in _REFUSED:
    assert after is None
    return
  right = said
  if form != 'both':
    right = _meant(columns['label'], class_names)
    if right is None:
      assert after is None
      return
  if after is None:
    # Line breaks that are not quoted, or two columns that disagree.
    unquoted = any(
      b in cell for c in columns.values() for cell in c for b in _BREAKS
    )
    assert unquoted or (form == 'both' and mutation == 'cell')
    return
  expected = dict(zip(ids, before.train.labels.tolist()))
  expected |= dict(zip(rows, right))
  assert after.train.labels.tolist() == [expected[name] for name in ids]
  assert after.train.ids.tolist() == ids


_DTYPES = (
  'i1',
  'u1',
  'i8',
  'u8',
  '>i4',
  'f4',
  'f8',
  'c8',
  '?',
  'U9',
  'S9',
  'O',
)
_SHAPES = ((6,), (6, 1), (1, 6), (5,), (7,), (), (6, 2), (0,))


@st.composite
def arrays(draw):
  """Class names, an array of labels, and the labels that it means, or None."""
  class_names = draw(_CLASS_NAMES)
  dtype, shape = draw(st.sampled_from(_DTYPES)), draw(st.sampled_from(_SHAPES))
  highest = len(class_names) - 1
  said = draw(st.lists(st.integers(0, highest), min_size=6, max_size=6))
  are_names = dtype in ('U9', 'S9', 'O') and draw(st.booleans())
  values = [class_names[label] if are_names else label for label in said]
  if draw(st.integers(0, 9)) == 9:
    values[0] = -1 if not are_names else 'nobody'
  if dtype == 'S9':
    values = [
      str(value).encode()[:9].decode(errors='ignore') for value in values
    ]
  elif dtype == 'U9':
    values = [str(value)[:9] for value in values]
  try:
    array = np.resize(np.array(values, dtype), shape)
  except (OverflowError, UnicodeEncodeError, ValueError):
    array = np.resize(np.array(said, 'i8'), shape)
  fits = array.size == 6 and len(array) == 6 and array.dtype.kind in 'iuUSO'
  texts = [
    cell.decode() if isinstance(cell, bytes) else str(cell)
    for cell in array.reshape(-1).tolist()
  ]
  if not fits:
    return class_names, array, None
  numbers = array.reshape(-1).tolist()
  if all(isinstance(number, int) for number in numbers):
    is_inside = all(0 <= number <= highest for number in numbers)
    return class_names, array, numbers if is_inside else None
  return class_names, array, _meant(texts, class_names)


@given(arrays(), st.sampled_from(['npy', 'npz', 'csv']))
@mutations.inputs(0.1)
def test_an_array_of_labels_is_read_in_order_or_refused(made, ending):
  class_names, array, right = made
  before = _dataset(class_names, [f'train_{i:05d}' for i in range(6)])
  with mutations.folder() as root:
    path = root / f'l.{ending}'
    with path.open('wb') as file:
      np.savez(file, l=array) if ending == 'npz' else np.save(file, array)
    after = _read(before, path)
  if right is None or (ending == 'npz' and array.dtype.kind == 'O'):
    assert after is None
  else:
    assert after is not None
    assert after.train.labels.tolist() == right
