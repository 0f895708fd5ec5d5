"""Mutated Parquet files: every record keeps its class's name, or is refused."""

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datadiet.data import load_dataset
from tests.data import formats
from tests.field import mutations

pyarrow = pytest.importorskip('pyarrow')
pq = pytest.importorskip('pyarrow.parquet')

_CLASSES = st.sampled_from(
  [
    ['cat', 'dog', 'newt'],
    ['10', '9', '8'],
    ['1', '0', '2'],
    ['é', 'a b', 'a,b'],
    ['train', 'test', 'None'],
  ]
)
# Names of the files of train and test.
_FILES = (
  ('train', 'test'),
  ('train-00000-of-00001', 'test-00000-of-00001'),
  ('data/train-0', 'data/validation-0'),
  ('cifar10-train', 'cifar10-test'),
  ('train/0000', 'val/0000'),
  ('Training', 'EVAL'),
)
# What may be wrong with the second file, and how.
_FAULTS = {
  'files': (
    ('a/train', 'b/test'),
    ('train-00000-of-00002', 'test'),
    ('train_test', 'test'),
    ('one', 'two'),
  ),
  'names': ('other order', 'fewer', 'unknown', 'no names', 'two alike'),
  'type': ('texts', 'floats', 'lists', 'booleans', 'dictionary', 'decimals'),
  'labels': (None, -1, 3, 2**40),
  'images': (None, b'', b'damaged', 'a text', 'bytes alone', 'no column'),
  'columns': ('two labels', 'two images', 'another name', 'nested'),
  'ids': ('twice', 'null', 'numbers', 'floats', 'texts'),
  'file': ('cut', 'text', 'empty', 'no rows'),
  'metadata': (b'null', b'[]', b'{', b'{"info": {"features": 3}}'),
}
_REFUSED = {
  *('unknown', 'no names', 'two alike', 'floats', 'lists', 'decimals', 'twice'),
  *(None, -1, 3, 2**40, b'', b'damaged', 'a text', 'no column', 'two labels'),
  *('another name', 'nested', 'null', 'cut', 'text', 'empty', 'no rows'),
  *_FAULTS['metadata'],
}
# Of the others, what is as good as without a fault.
_READ = {
  'other order',
  'fewer',
  'texts',
  'dictionary',
  'bytes alone',
  'numbers',
}
_KINDS = st.sampled_from(['', '', '', '', *_FAULTS])


@dataclasses.dataclass
class _Made:
  """Two files as tables, and the class of each record; None to be refused."""

  tables: dict = dataclasses.field(repr=False)
  names: dict
  class_names: list
  fault: str
  must_be_read: bool
  must_be_refused: bool


def _images(num, seed):
  return [
    formats.encode(image) for image in formats.random_images(num, 6, seed)
  ]


@st.composite
def sets(draw):
  """A train and a test file, the latter perhaps with a fault."""
  kind = draw(_KINDS)
  fault = draw(st.sampled_from(_FAULTS[kind])) if kind else ''
  class_names = draw(_CLASSES)
  files = fault if kind == 'files' else draw(st.sampled_from(_FILES))
  said = {
    file: [draw(st.integers(0, 2)) for _ in range(4)] + [0, 1, 2]
    for file in files
  }
  names = {file: [class_names[i] for i in said[file]] for file in files}
  # A column of ids has to be in both.
  more = {'id': list(range(7))} if kind == 'ids' else {}
  tables = {
    files[0]: _table(said[files[0]], class_names, 0, **more),
    files[1]: _mutated(said[files[1]], class_names, kind, fault),
  }
  return _Made(
    tables,
    names,
    class_names,
    f'{kind}: {fault}',
    not kind or fault in _READ,
    kind == 'files' or fault in _REFUSED,
  )


def _table(
  said, names, seed, *, labels=None, images=None, metadata=None, **more
):
  """A table as the library `datasets` writes it."""
  if images is None:
    images = [{'bytes': i, 'path': None} for i in _images(len(said), seed)]
  columns = {'image': images, 'label': said if labels is None else labels}
  features = {'image': {'_type': 'Image'}}
  if names:
    features['label'] = {'_type': 'ClassLabel', 'names': names}
  if metadata is None:
    metadata = json.dumps({'info': {'features': features}})
  table = pyarrow.table(columns | more)
  return table.replace_schema_metadata({'huggingface': metadata})


def _mutated(said, names, kind, fault):
  """The second table, as bytes of a Parquet file or to be written as one."""
  texts = [names[label] for label in said]
  pictures = [{'bytes': i, 'path': None} for i in _images(len(said), 1)]
  num = len(said)
  if kind == 'names':
    if fault == 'other order':
      return _table([2 - label for label in said], names[::-1], 1)
    if fault == 'two alike':
      return _table(said, [*names[:2], f'{names[0]} '], 1)
    other = {'fewer': [*names, 'x'], 'unknown': [*names[:2], 'x']}.get(fault)
    return _table(said, other, 1)
  if kind == 'type':
    labels = {
      'texts': texts,
      'floats': list(map(float, said)),
      'lists': [[label] for label in said],
      'booleans': pyarrow.array([label > 0 for label in said]),
      'dictionary': pyarrow.array(texts).dictionary_encode(),
      'decimals': pyarrow.array(said).cast(pyarrow.decimal128(22, 1)),
    }[fault]
    return _table(said, None, 1, labels=labels)
  if kind == 'labels':
    return _table(said, names, 1, labels=[*said[:-1], fault])
  if kind == 'images':
    if fault == 'bytes alone':
      return _table(said, names, 1, images=[i['bytes'] for i in pictures])
    if fault == 'a text':
      return _table(said, names, 1, images=['a.png'] * num)
    if fault == 'no column':
      return _table(said, names, 1).drop_columns('image')
    last = fault if fault is None else {'bytes': fault, 'path': None}
    return _table(said, names, 1, images=[*pictures[:-1], last])
  if kind == 'columns':
    if fault == 'another name':
      return _table(said, names, 1).rename_columns(['picture', 'label'])
    if fault == 'nested':
      return _table(said, None, 1, labels=[{'label': label} for label in said])
    if fault == 'two labels':
      table = _table(said, None, 1, labels=said, labels_=said)
      return table.rename_columns(['image', 'x', 'y'])
    return _table(said, names, 1, thumbnail=pictures)
  if kind == 'ids':
    ids = {
      'twice': ['a', 'a', *map(str, range(num - 2))],
      'null': ['a', None, *map(str, range(num - 2))],
      'numbers': list(range(num)),
      'floats': [0.5] * num,
      'texts': [f'ü {i}\n' for i in range(num)],
    }[fault]
    return _table(said, names, 1, id=ids)
  if kind == 'metadata':
    return _table(said, None, 1, metadata=fault)
  if fault == 'no rows':
    return _table(said, names, 1).slice(0, 0)
  return fault if kind == 'file' else _table(said, names, 1)


def _write(root, tables):
  for name, table in tables.items():
    path = root / f'{name}.parquet'
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(table, str):
      content = {'text': b'id,label\n', 'empty': b''}.get(table)
      if content is None:
        pq.write_table(_table([0, 1], ['a', 'b'], 1), path)
        content = path.read_bytes()[:-9]
      path.write_bytes(content)
    else:
      pq.write_table(table, path)


@given(sets())
@mutations.inputs(0.1)
def test_every_record_keeps_its_class_and_its_picture(made):
  with mutations.folder() as root:
    _write(root, made.tables)
    dataset = mutations.read_or_refused(
      'Parquet', load_dataset, formats.settings('hugging_face', root)
    )
  if dataset is None:
    assert not made.must_be_read
    return
  assert not made.must_be_refused
  for seed, (split_name, names) in enumerate(
    zip(('train', 'test'), made.names.values())
  ):
    split = getattr(dataset, split_name)
    found = [dataset.class_names[label] for label in split.labels]
    assert found == names
    np.testing.assert_array_equal(
      split.images, formats.random_images(len(names), 6, seed)
    )
