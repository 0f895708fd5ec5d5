"""Tests of records that are read by their numbers."""

import os
import pickle
import threading

import pytest
from array_record.python import array_record_module

from datadiet.decoders import records
from datadiet.decoders.records import Records

CONTENTS = [b'a', b'', b'ccc' * 50_000, b'd']


@pytest.fixture
def path(tmp_path):
  path = os.fspath(tmp_path / 'some')
  writer = array_record_module.ArrayRecordWriter(path, 'group_size:1')
  for content in CONTENTS:
    writer.write(content)
  writer.close()
  return path


@pytest.mark.parametrize('rows', [[0, 1, 2, 3], [3, 0, 3], [2], []])
def test_records_come_in_the_order_asked_for(path, rows):
  # As a worker is given them.
  some = pickle.loads(pickle.dumps(Records(path, rows)))
  assert some.read() == [CONTENTS[row] for row in rows]
  assert len(some) == len(rows)


def test_each_thread_has_a_reader_that_it_keeps(path):
  readers = []

  def read():
    readers.append([records._reader(path) for _ in range(2)])

  for _ in range(2):
    thread = threading.Thread(target=read)
    thread.start()
    thread.join()
  (first, again), (other, _) = readers
  assert first is again and first is not other


def test_what_is_not_there_is_an_error(path):
  with pytest.raises(RuntimeError, match='out of bound'):
    Records(path, [4]).read()
  with pytest.raises(RuntimeError, match='No such file'):
    Records(path + '.not', [0]).read()
